"""The prior network B(y), a gated PixelCNN."""

import keras
import numpy as np
from keras import ops

from prsr import images
from prsr.models import layers
from prsr.models.conditioning import INTENSITIES


@layers.registered
class GatedPixelCNN(keras.Model):
    """Lower half of Table 2: predicts every sub-pixel's logits from the sub-pixels before it.

    The order is rows from the top, columns from the left, then R, G, B. A sub-pixel's logits never
    depend on itself or on later sub-pixels.

    Args:
        channels: 3 (RGB) or 1 (grey).
        width: feature maps of each stack, at least `channels`.
        num_layers: gated layers, at least 1.
        hidden: feature maps of the 1x1 layer before the logits, at least `channels`.

    Raises:
        ValueError: an argument is invalid.
    """

    def __init__(self, channels=3, width=64, num_layers=20, hidden=1024, **kwargs):
        super().__init__(**kwargs)
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (RGB), not {channels}")
        if num_layers < 1:
            raise ValueError(f"the PixelCNN needs at least one gated layer, not {num_layers}")
        if min(width, hidden) < channels:
            raise ValueError(
                f"the PixelCNN's width and hidden must be at least {channels}, the number of "
                f"channels, so that each channel has a feature; got width={width}, hidden={hidden}"
            )
        self.channels = channels
        dtype = self.dtype_policy
        image_groups = np.arange(channels)
        groups = layers.channel_groups(width, channels)
        hidden_groups = layers.channel_groups(hidden, channels)
        logit_groups = np.repeat(image_groups, INTENSITIES)

        self.vertical = layers.VerticalConv(width, 7, dtype=dtype)
        self.horizontal = layers.HorizontalConv(image_groups, groups, 7, "A", dtype=dtype)
        self.gated_layers = [
            layers.GatedLayer(width, channels, 5, dtype=dtype) for _ in range(num_layers)
        ]
        self.hidden = layers.HorizontalConv(groups, hidden_groups, dtype=dtype)
        self.logits = layers.HorizontalConv(hidden_groups, logit_groups, dtype=dtype)

    def build(self, input_shape):
        self.vertical.build(input_shape)
        self.horizontal.build(input_shape)
        shape = self.horizontal.compute_output_shape(input_shape)
        for layer in self.gated_layers:
            layer.build(shape, shape)
        layers.build_in_turn([self.hidden, self.logits], shape)

    def call(self, high_res):
        """Computes B(y).

        Args:
            high_res: `[batch, height, width, channels]`, 0..255, any dtype.

        Returns:
            Logits `[batch, height, width, channels, 256]`.
        """
        y = images.to_network(high_res, self.compute_dtype)
        vertical = self.vertical(y)
        horizontal = self.horizontal(y) + layers.shift_down(vertical)
        for layer in self.gated_layers:
            vertical, horizontal = layer(vertical, horizontal)
        # Paper: Table 2 names no non-linearity around the 1024 features; we use ReLU.
        logits = self.logits(ops.relu(self.hidden(ops.relu(horizontal))))
        return ops.reshape(logits, (*ops.shape(logits)[:3], self.channels, INTENSITIES))

    def compute_output_shape(self, input_shape):
        return (*input_shape, INTENSITIES)

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "width": self.vertical.features,
            "num_layers": len(self.gated_layers),
            "hidden": self.hidden.features,
        }
