"""The conditioning network A(x): the upper half of Table 2."""

import keras
from keras import ops

from prsr import images
from prsr.hparams import NORMALIZATIONS
from prsr.models import layers

INTENSITIES = 256


class ResNetTrunk(keras.Model):
    """The rows of Table 2's upper half but the last, which the regression baseline shares.

    Args:
        channels: 3 (RGB) or 1 (grey).
        scale: upscaling factor, a power of two; there are log2(scale) transposed convolutions.
        blocks_per_stage: the paper's B; there are log2(scale) + 1 stages.
        width: number of feature maps.
        normalization: `"batch"` or `"none"`.

    Raises:
        ValueError: an argument is invalid.
    """

    def __init__(
        self, channels=3, scale=4, blocks_per_stage=6, width=32, normalization="batch", **kwargs
    ):
        super().__init__(**kwargs)
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (RGB), not {channels}")
        if scale < 1 or scale & (scale - 1):
            raise ValueError(f"scale must be a power of two (1, 2, 4, 8, ...), not {scale}")
        if blocks_per_stage < 0:
            raise ValueError(f"blocks_per_stage must be 0 or more, not {blocks_per_stage}")
        if width < 1:
            raise ValueError(f"the conditioning network's width must be positive, not {width}")
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization must be one of {NORMALIZATIONS}, not {normalization}")
        self.channels, self.scale, self.normalization = channels, scale, normalization

        # Paper: Table 2 starts at 32 features; a 1x1 convolution maps the 3 channels to them.
        self.stem = layers.convolution(width, 1, dtype=self.dtype_policy)
        self.stages, self.upsamplings = [], []
        for stage in range(scale.bit_length()):
            if stage > 0:
                upsampling = layers.convolution(
                    width, 3, transposed=True, strides=2, activation="relu", dtype=self.dtype_policy
                )
                self.upsamplings.append(upsampling)
            self.stages.append(
                [
                    layers.ResidualBlock(width, normalization, dtype=self.dtype_policy)
                    for _ in range(blocks_per_stage)
                ]
            )

    def rows(self):
        """Returns the layers in Table 2's order."""
        rows = [self.stem, *self.stages[0]]
        for upsampling, blocks in zip(self.upsamplings, self.stages[1:]):
            rows += [upsampling, *blocks]
        return rows

    def features(self, low_res, training=False):
        """Computes the input of Table 2's last row.

        Args:
            low_res: `[batch, height, width, channels]`, 0..255, any dtype.
            training: whether batch normalisation uses (and tracks) the batch's statistics.

        Returns:
            `[batch, height * scale, width * scale, features]`.
        """
        x = images.to_network(low_res, self.compute_dtype)
        for row in self.rows():
            x = row(x, training=training) if isinstance(row, layers.ResidualBlock) else row(x)
        return x

    def compute_output_shape(self, input_shape):
        """The shape of an image: `[batch, height * scale, width * scale, channels]`."""
        batch, *sizes, channels = input_shape
        return (batch, *(size and size * self.scale for size in sizes), channels)

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "scale": self.scale,
            "blocks_per_stage": len(self.stages[0]),
            "width": self.stem.filters,
            "normalization": self.normalization,
        }

    def recalibrate_batch_norm(self, batches):
        """Sets batch normalisation's statistics to their means over the given batches.

        Training's moving statistics lag behind the weights, and do not match a moving average of
        the weights; these match the current weights. Without batch normalisation this does nothing.

        Args:
            batches: non-empty list of `low_res`, as for `features`.
        """
        blocks = [block for stage in self.stages for block in stage]
        norms = [norm for block in blocks for norm in (block.first_norm, block.second_norm)]
        if not norms or self.normalization == "none":
            return
        momentum = norms[0].momentum
        for count, low_res in enumerate(batches):
            for norm in norms:
                norm.momentum = count / (count + 1)  # gives the exact mean so far
            self.features(low_res, training=True)
        for norm in norms:
            norm.momentum = momentum


@layers.registered
class ConditioningNetwork(ResNetTrunk):
    """Upper half of Table 2: maps a low-resolution image to logits for every sub-pixel.

    Its arguments are those of `ResNetTrunk`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        features = self.channels * INTENSITIES
        self.logits = layers.convolution(features, 1, dtype=self.dtype_policy)

    def build(self, input_shape):
        layers.build_in_turn([*self.rows(), self.logits], input_shape)

    def call(self, low_res, training=False):
        """Computes A(x).

        Args:
            low_res, training: as for `features`.

        Returns:
            Logits `[batch, height * scale, width * scale, channels, 256]`.
        """
        logits = self.logits(self.features(low_res, training=training))
        return ops.reshape(logits, (*ops.shape(logits)[:3], self.channels, INTENSITIES))

    def compute_output_shape(self, input_shape):
        return (*super().compute_output_shape(input_shape), INTENSITIES)
