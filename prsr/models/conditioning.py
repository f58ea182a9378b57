"""The conditioning network A(x), which on its own is the cross-entropy baseline."""

import keras
from keras import ops

from prsr.models import layers, losses
from prsr.models.trunk import ResNetTrunk

INTENSITIES = 256


@layers.registered
class ConditioningNetwork(ResNetTrunk):
    """Upper half of Table 2: maps a low-resolution image to logits for every sub-pixel.

    On its own it is the pixel-independent model of section 3.1, p(y | x) = prod_i softmax(A_i(x))
    (equations 2 and 4).

    Args:
        *args, **kwargs: as for `ResNetTrunk`.

    Raises:
        ValueError: an argument is invalid.
    """

    has_likelihood = True
    score_names = ("conditioning",)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.logits = keras.layers.Conv2D(
            self.channels * INTENSITIES,
            1,
            data_format=layers.DATA_FORMAT,
            kernel_initializer=layers.Initializer(),
            dtype=self.dtype_policy,
        )

    def build(self, input_shape):
        layers.build_in_turn([*self.chain(), self.logits], input_shape)

    def call(self, low_res, training=False):
        """Computes A(x).

        Args:
            low_res: `[batch, height, width, channels]`, 0..255, any dtype.
            training: whether batch normalisation uses (and tracks) the batch's statistics.

        Returns:
            Logits `[batch, height * scale, width * scale, channels, 256]`.
        """
        logits = self.logits(self.features(low_res, training=training))
        return ops.reshape(logits, (*ops.shape(logits)[:3], self.channels, INTENSITIES))

    def compute_output_shape(self, input_shape):
        return (*super().compute_output_shape(input_shape), INTENSITIES)

    def output_scores(self, outputs, high_res):
        return {"conditioning": losses.nats_per_image(outputs, high_res)}

    def log_likelihood(self, low_res, high_res):
        """Returns log p(y | x) under the pixel-independent model (equation 2).

        Args:
            low_res: as for `call`.
            high_res: as for `scores`.

        Returns:
            `[batch]` float, at most 0, in nats per image.
        """
        return -self.scores(low_res, high_res)["conditioning"]
