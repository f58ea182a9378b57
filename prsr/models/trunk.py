"""The ResNet that the conditioning network and the regression baseline share."""

import keras

from prsr import images
from prsr.models import layers
from prsr.models.scored import ScoredModel


class ResNetTrunk(ScoredModel):
    """Upper half of Table 2 without its last layer: maps a low-resolution image to features.

    It consists of ResNet blocks, with a transposed convolution wherever the size doubles.

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
        if normalization not in layers.NORMALIZATIONS:
            raise ValueError(
                f"normalization must be one of {layers.NORMALIZATIONS}, not {normalization}"
            )
        self.channels, self.scale, self.normalization = channels, scale, normalization
        options = {
            "data_format": layers.DATA_FORMAT,
            "kernel_initializer": layers.Initializer(),
            "dtype": self.dtype_policy,
        }
        # Paper: Table 2 starts at 32 features; a 1x1 convolution maps the 3 channels to them.
        self.stem = keras.layers.Conv2D(width, 1, **options)
        self.stages, self.upsamplings = [], []
        for stage in range(scale.bit_length()):
            if stage > 0:
                self.upsamplings.append(
                    keras.layers.Conv2DTranspose(
                        width, 3, strides=2, padding="same", activation="relu", **options
                    )
                )
            self.stages.append(
                [
                    layers.ResidualBlock(width, normalization, dtype=self.dtype_policy)
                    for _ in range(blocks_per_stage)
                ]
            )

    def chain(self):
        """Returns the layers in order."""
        chain = [self.stem, *self.stages[0]]
        for upsampling, blocks in zip(self.upsamplings, self.stages[1:]):
            chain += [upsampling, *blocks]
        return chain

    def features(self, low_res, training=False):
        """Computes the input of the last layer.

        Args:
            low_res: `[batch, height, width, channels]`, 0..255, any dtype.
            training: whether batch normalisation uses (and tracks) the batch's statistics.

        Returns:
            `[batch, height * scale, width * scale, features]`.
        """
        x = self.stem(images.to_network(low_res, self.compute_dtype))
        for stage, blocks in enumerate(self.stages):
            if stage > 0:
                x = self.upsamplings[stage - 1](x)  # twice the height and width
            for block in blocks:
                x = block(x, training=training)
        return x

    def compute_output_shape(self, input_shape):
        """Returns the shape of an image: `[batch, height * scale, width * scale, channels]`."""
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
            batches: non-empty list of `low_res`, as for `call`.
        """
        norms = [
            norm
            for blocks in self.stages
            for block in blocks
            for norm in (block.first_norm, block.second_norm)
            if isinstance(norm, keras.layers.BatchNormalization)
        ]
        if not norms:
            return
        momentum = norms[0].momentum
        for count, low_res in enumerate(batches):
            for norm in norms:
                norm.momentum = count / (count + 1)  # gives the exact mean so far
            self(low_res, training=True)
        for norm in norms:
            norm.momentum = momentum
