"""The building blocks of Table 2, in pure Keras.

A pixel is drawn after all rows above it and all pixels to its left; its channels are drawn one
after another. The prior enforces that order with two stacks (van den Oord et al., 2016, Figure 2):

- the *vertical* stack at row r sees all columns of the rows up to and including r;
- the *horizontal* stack at (r, c) sees its own row up to c, and adds the vertical stack of row
  r - 1 (`shift_down`), so it has no blind spot above.

Kernels hold only the taps that a pixel may see. At the centre tap of the horizontal stack, features
belong to channels (`channel_groups`), and a 0/1 matrix over (input feature, output feature) keeps
R, G, B in sequence. That mask is part of the forward pass.
"""

import keras
import numpy as np
from keras import ops

from prsr.models.initialization import Initializer

_DATA_FORMAT = "channels_last"  # passed to every layer, so that keras.json has no effect

registered = keras.saving.register_keras_serializable("prsr")


def build_in_turn(chain, shape):
    """Builds a chain of layers, the first for this input shape; unknown sizes are None."""
    for layer in chain:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)


def convolution(features, size, transposed=False, **options):
    """Returns a Keras convolution, unmasked, with Table 2's initialisation."""
    kind = keras.layers.Conv2DTranspose if transposed else keras.layers.Conv2D
    return kind(
        features,
        size,
        padding="same",
        data_format=_DATA_FORMAT,
        kernel_initializer=Initializer(),
        **options,
    )


def channel_groups(features, channels):
    """Assigns each feature to a channel, in order: 64 features are 22 R, 21 G, 21 B.

    Returns:
        int array `[features]` in 0..channels - 1, non-decreasing.
    """
    return np.arange(features) * channels // features


def channel_mask(in_groups, out_groups, mask_type):
    """Marks which input features an output feature of the same pixel may see.

    Args:
        in_groups: `[in]` channel of each input feature.
        out_groups: `[out]` channel of each output feature.
        mask_type: `"A"` for earlier channels only, or `"B"` to include its own channel.

    Returns:
        float array `[in, out]` of zeros and ones.
    """
    in_groups, out_groups = np.asarray(in_groups)[:, None], np.asarray(out_groups)[None, :]
    seen = in_groups < out_groups if mask_type == "A" else in_groups <= out_groups
    return seen.astype("float32")


def shift_down(x):
    """Shifts `[batch, height, width, features]` down by one row; row 0 becomes zero."""
    batch, height, width, features = ops.shape(x)
    # Not x[:, :-1]: its gradient is slow.
    above = ops.slice(x, (0, 0, 0, 0), (batch, height - 1, width, features))
    return ops.pad(above, [[0, 0], [1, 0], [0, 0], [0, 0]])


def _conv(x, kernel):
    """Convolves `[batch, height, width, in]` wherever the whole kernel fits."""
    return ops.conv(x, kernel, padding="valid", data_format=_DATA_FORMAT)


def gate(pre_activation):
    """Returns tanh(first half) * sigmoid(second half) of the last axis: 2F features to F."""
    filtered, gated = ops.split(pre_activation, 2, axis=-1)
    return ops.tanh(filtered) * ops.sigmoid(gated)


@registered
class VerticalConv(keras.layers.Layer):
    """A convolution that sees its own row and the rows above.

    It keeps the upper `size // 2 + 1` rows of a `size` x `size` kernel.

    Args:
        features: number of output features.
        size: odd side of the full kernel.
    """

    def __init__(self, features, size, **kwargs):
        super().__init__(**kwargs)
        self.features = features
        self.reach = size // 2

    def build(self, input_shape):
        shape = (self.reach + 1, 2 * self.reach + 1, input_shape[-1], self.features)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=Initializer())
        self.bias = self.add_weight(name="bias", shape=(self.features,), initializer="zeros")

    def call(self, x):
        """`[batch, height, width, in]` to `[batch, height, width, features]`."""
        x = ops.pad(x, [[0, 0], [self.reach, 0], [self.reach, self.reach], [0, 0]])
        return _conv(x, self.kernel) + self.bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.features)

    def get_config(self):
        size = 2 * self.reach + 1
        return {**super().get_config(), "features": self.features, "size": size}


@registered
class HorizontalConv(keras.layers.Layer):
    """A convolution that sees the pixels to the left, and earlier channels of its own pixel.

    It keeps the centre and the `size // 2` taps to its left of a 1 x `size` kernel; `channel_mask`
    applies at the centre. With `size=1` it is Table 2's masked 1x1 convolution.

    Args:
        in_groups: `[in]` channel of each input feature.
        out_groups: `[features]` channel of each output feature.
        size: odd width of the full kernel.
        mask_type: `"A"` on the image, `"B"` on features.
    """

    def __init__(self, in_groups, out_groups, size=1, mask_type="B", **kwargs):
        super().__init__(**kwargs)
        self.in_groups, self.out_groups = tuple(map(int, in_groups)), tuple(map(int, out_groups))
        self.mask_type = mask_type
        self.features = len(out_groups)
        self.reach = size // 2
        center = channel_mask(in_groups, out_groups, mask_type)
        self.mask = np.ones((1, self.reach + 1, *center.shape), "float32")
        self.mask[0, -1] = center

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel", shape=self.mask.shape, initializer=Initializer()
        )
        self.bias = self.add_weight(name="bias", shape=(self.features,), initializer="zeros")

    def call(self, x):
        """`[batch, height, width, in]` to `[batch, height, width, features]`."""
        x = ops.pad(x, [[0, 0], [0, 0], [self.reach, 0], [0, 0]])
        kernel = self.kernel * ops.cast(self.mask, self.compute_dtype)
        return _conv(x, kernel) + self.bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.features)

    def get_config(self):
        return {
            **super().get_config(),
            "in_groups": self.in_groups,
            "out_groups": self.out_groups,
            "size": 2 * self.reach + 1,
            "mask_type": self.mask_type,
        }


@registered
class GatedLayer(keras.layers.Layer):
    """One gated PixelCNN layer, 5x5 in Table 2 (van den Oord et al., 2016, Figure 2).

    Args:
        features: number of features of each stack.
        channels: number of image channels, which group the horizontal stack's features.
        size: odd side of the full kernel.
    """

    def __init__(self, features, channels, size=5, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        groups = channel_groups(features, channels)
        # A gate's 2F pre-activations repeat the F groups: once for tanh, once for sigmoid.
        gate_groups = np.concatenate([groups, groups])
        dtype = self.dtype_policy
        self.vertical = VerticalConv(2 * features, size, dtype=dtype)
        self.vertical_to_horizontal = keras.layers.Dense(
            2 * features, kernel_initializer=Initializer(), dtype=dtype
        )
        self.horizontal = HorizontalConv(groups, gate_groups, size, dtype=dtype)
        self.residual = HorizontalConv(groups, groups, dtype=dtype)

    def build(self, vertical_shape, horizontal_shape):
        build_in_turn([self.vertical, self.vertical_to_horizontal], vertical_shape)
        self.horizontal.build(horizontal_shape)
        self.residual.build(horizontal_shape)

    def call(self, vertical, horizontal):
        """Maps both stacks, `[batch, height, width, features]`, to stacks of the same shape."""
        vertical_gate = self.vertical(vertical)  # [batch, height, width, 2 * features]
        horizontal_gate = self.horizontal(horizontal)
        horizontal_gate += self.vertical_to_horizontal(shift_down(vertical_gate))
        return gate(vertical_gate), horizontal + self.residual(gate(horizontal_gate))

    def compute_output_shape(self, vertical_shape, horizontal_shape):
        return vertical_shape, horizontal_shape

    def get_config(self):
        return {
            **super().get_config(),
            "features": self.residual.features,
            "channels": self.channels,
            "size": 2 * self.vertical.reach + 1,
        }


@registered
class ResidualBlock(keras.layers.Layer):
    """Two 3x3 convolutions around a skip connection, in SRResNet's order.

    Args:
        features: number of input and output features.
        normalization: `"batch"` or `"none"`.
    """

    def __init__(self, features, normalization="batch", **kwargs):
        super().__init__(**kwargs)
        self.normalization = normalization
        dtype = self.dtype_policy
        # Use the statistics of the global batch, on however many devices it is.
        synchronized = keras.backend.backend() == "tensorflow"  # other backends reject it

        def normalize():
            if normalization == "none":
                return keras.layers.Identity(dtype=dtype)
            return keras.layers.BatchNormalization(synchronized=synchronized, dtype=dtype)

        self.first, self.first_norm = convolution(features, 3, dtype=dtype), normalize()
        self.second, self.second_norm = convolution(features, 3, dtype=dtype), normalize()

    def build(self, input_shape):
        build_in_turn([self.first, self.first_norm, self.second, self.second_norm], input_shape)

    def call(self, x, training=False):
        """`[batch, height, width, features]` to the same shape."""
        y = ops.relu(self.first_norm(self.first(x), training=training))
        return x + self.second_norm(self.second(y), training=training)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "features": self.first.filters,
            "normalization": self.normalization,
        }
