"""The building blocks of Table 2, on Keras alone.

A pixel is drawn after all rows above it and all pixels left of it, and its channels
one after another. The prior keeps that order with two stacks (van den Oord et al.,
2016, Figure 2):

- the *vertical* stack at row r sees rows up to and including r, all columns;
- the *horizontal* stack at (r, c) sees its own row up to c, and takes the vertical
  stack of row r - 1 (`shift_down`), so nothing above is out of sight.

Kernels hold only the taps that may be seen. At the centre tap of the horizontal stack
features belong to channels (`channel_groups`), and a 0/1 matrix over (input feature,
output feature) keeps R, G, B in sequence. That mask is part of the forward pass.
"""

import contextlib
import contextvars

import keras
import numpy as np
from keras import ops

NORMALIZATIONS = ("batch", "none")
# Every layer says it, so that keras.json does not matter.
DATA_FORMAT = "channels_last"

registered = keras.saving.register_keras_serializable("prsr")


_draws = contextvars.ContextVar("whether Initializer draws", default=True)


@registered
class Initializer(keras.initializers.TruncatedNormal):
    """Table 2's initialisation: truncated normal, standard deviation 0.1."""

    def __init__(self, stddev=0.1, **kwargs):
        super().__init__(stddev=stddev, **kwargs)

    def __call__(self, shape, dtype=None):
        return super().__call__(shape, dtype) if _draws.get() else ops.zeros(shape, dtype)


@contextlib.contextmanager
def to_be_loaded():
    """Within it, weights begin with zeros, which saves a third of the time to make them."""
    token = _draws.set(False)
    try:
        yield
    finally:
        _draws.reset(token)


def build_in_turn(chain, shape):
    """Makes the weights of layers of which each is given what the one before returns.

    Args:
        chain: list of layers.
        shape: of what the first is given; unknown sizes are None.

    Returns:
        The shape of what the last returns.
    """
    for layer in chain:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape


def channel_groups(features, channels):
    """The channel that each feature belongs to, in order: 64 features are 22 R, 21 G, 21 B.

    Args:
        features: number of features, at least `channels`.
        channels: number of image channels.

    Returns:
        int array `[features]` of 0..channels - 1, never decreasing.
    """
    return np.arange(features) * channels // features


def channel_mask(in_groups, out_groups, mask_type):
    """Which input feature an output feature of the same pixel may see.

    Args:
        in_groups: `[in]` channel of each input feature.
        out_groups: `[out]` channel of each output feature.
        mask_type: `"A"`, only earlier channels, or `"B"`, its own channel as well.

    Returns:
        float array `[in, out]` of zeros and ones.
    """
    in_groups, out_groups = np.asarray(in_groups)[:, None], np.asarray(out_groups)[None, :]
    seen = in_groups < out_groups if mask_type == "A" else in_groups <= out_groups
    return seen.astype("float32")


def shift_down(x):
    """`[batch, height, width, features]`: row r becomes row r - 1 of `x`, row 0 zero."""
    batch, height, width, features = ops.shape(x)
    # Not x[:, :-1], whose gradient is slow.
    above = ops.slice(x, (0, 0, 0, 0), (batch, height - 1, width, features))
    return ops.pad(above, [[0, 0], [1, 0], [0, 0], [0, 0]])


def _conv(x, kernel):
    """`[batch, height, width, in]` to the places where the whole kernel fits."""
    return ops.conv(x, kernel, padding="valid", data_format=DATA_FORMAT)


def gate(pre_activation):
    """tanh(first half) * sigmoid(second half), over the last axis: 2F features to F."""
    filtered, gated = ops.split(pre_activation, 2, axis=-1)
    return ops.tanh(filtered) * ops.sigmoid(gated)


@registered
class VerticalConv(keras.layers.Layer):
    """A convolution that sees its own row and the rows above.

    Of a `size` x `size` kernel the upper `size // 2 + 1` rows are kept.

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

    Of a 1 x `size` kernel the left `size // 2` taps and the centre are kept; at the centre
    `channel_mask` applies. With `size=1` it is Table 2's masked 1x1 convolution.

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
        features: features of each stack.
        channels: image channels, for the groups of the horizontal stack.
        size: odd side of the full kernel.
    """

    def __init__(self, features, channels, size=5, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        groups = channel_groups(features, channels)
        # A gate's 2F pre-activations carry the F groups twice: for tanh and for sigmoid.
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
        """Both stacks, `[batch, height, width, features]`, to both stacks of the same shape."""
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
        features: features in and out.
        normalization: `"batch"` or `"none"`.
    """

    def __init__(self, features, normalization="batch", **kwargs):
        super().__init__(**kwargs)
        self.normalization = normalization
        dtype = self.dtype_policy
        # Statistics are those of the global batch, on however many devices it lies.
        synchronized = keras.backend.backend() == "tensorflow"  # others refuse it

        def convolution():
            return keras.layers.Conv2D(
                features,
                3,
                padding="same",
                data_format=DATA_FORMAT,
                kernel_initializer=Initializer(),
                dtype=dtype,
            )

        def normalize():
            if normalization == "none":
                return keras.layers.Identity(dtype=dtype)
            return keras.layers.BatchNormalization(synchronized=synchronized, dtype=dtype)

        self.first, self.first_norm = convolution(), normalize()
        self.second, self.second_norm = convolution(), normalize()

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
