"""Causal convolutions as full square kernels times a mask: a yardstick for the cropped kernels."""

import contextlib
from unittest import mock

import numpy as np
from keras import ops

from prsr.models import layers


class _Masked:
    """A full `size` x `size` kernel whose taps on later pixels are multiplied by zero."""

    def build(self, input_shape):
        size, seen = self.full_size, self.seen(input_shape[-1])
        self.full_mask = np.zeros((size, size, input_shape[-1], self.features), "float32")
        rows = slice(self.first_row, self.first_row + seen.shape[0])
        self.full_mask[rows, : seen.shape[1]] = seen
        self.kernel = self.add_weight(
            name="kernel", shape=self.full_mask.shape, initializer=layers.Initializer()
        )
        self.bias = self.add_weight(name="bias", shape=(self.features,), initializer="zeros")

    def call(self, x):
        kernel = self.kernel * ops.cast(self.full_mask, self.compute_dtype)
        return ops.conv(x, kernel, padding="same") + self.bias


class VerticalConv(_Masked, layers.VerticalConv):
    """`layers.VerticalConv` with a full kernel."""

    first_row = 0

    def __init__(self, features, size, **kwargs):
        super().__init__(features, size, **kwargs)
        self.full_size = size

    def seen(self, in_features):
        return np.ones((self.reach + 1, self.full_size, in_features, self.features))


class HorizontalConv(_Masked, layers.HorizontalConv):
    """`layers.HorizontalConv` with a full, square kernel."""

    def __init__(self, in_groups, out_groups, size=1, mask_type="B", **kwargs):
        super().__init__(in_groups, out_groups, size, mask_type, **kwargs)
        self.full_size, self.first_row = size, self.reach

    def seen(self, in_features):
        return self.mask


@contextlib.contextmanager
def in_place():
    """Gives full kernels to the models built inside this context."""
    with (
        mock.patch.object(layers, "VerticalConv", VerticalConv),
        mock.patch.object(layers, "HorizontalConv", HorizontalConv),
    ):
        yield
