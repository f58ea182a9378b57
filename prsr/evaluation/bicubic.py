"""The bicubic interpolation baseline."""

import numpy as np

from prsr import images


class Bicubic:
    """Bicubic interpolation, clipped and rounded.

    Args:
        scale: the upscaling factor.
    """

    def __init__(self, scale):
        self.scale = scale

    def predict(self, low_res):
        """Enlarges images.

        Args:
            low_res: `[batch, height, width, channels]` uint8.

        Returns:
            `[batch, height * scale, width * scale, channels]` uint8 array.
        """
        return np.asarray(images.upsample_bicubic(low_res, self.scale))
