"""The regression baseline of section 5: bicubic interpolation plus a learned residual."""

import math

from keras import ops

from prsr import images
from prsr.models import layers
from prsr.models.conditioning import ResNetTrunk
from prsr.models.scored import ScoredModel


@layers.registered
class RegressionNetwork(ScoredModel, ResNetTrunk):
    """Bicubic interpolation plus a residual: y = bicubic(x) + tanh(C(x)), on [0, 1].

    It has the conditioning network's trunk, and one tanh output per sub-pixel. Its loss, the
    squared error, is the likelihood of equation 3 with one fixed variance. The arguments are those
    of `ResNetTrunk`.
    """

    has_likelihood = False
    metric_names = ("mean_squared_error",)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.residual = layers.convolution(
            self.channels, 1, activation="tanh", dtype=self.dtype_policy
        )

    def build(self, input_shape):
        layers.build_in_turn([*self.rows(), self.residual], input_shape)

    def call(self, low_res, training=False):
        """Estimates the mean of every sub-pixel.

        Args:
            low_res, training: as for `features`.

        Returns:
            `[batch, height * scale, width * scale, channels]` float32, where 0 is black and
            1 is white; values may fall outside that range.
        """
        bicubic = ops.cast(images.upsample_bicubic(low_res, self.scale), "float32") / 255.0
        residual = self.residual(self.features(low_res, training=training))
        return bicubic + ops.cast(residual, "float32")

    def output_scores(self, outputs, high_res):
        errors = ops.square(ops.cast(high_res, "float32") / 255.0 - outputs)
        return {"squared_error": ops.sum(errors, axis=(1, 2, 3))}

    def readable(self, scores, image_shape):
        return {"mean_squared_error": scores["squared_error"] / math.prod(image_shape)}

    def predict_images(self, low_res):
        """Returns what `call` returns as uint8 images, clipped and rounded."""
        return images.quantize(self(low_res) * 255.0)
