"""Cropped kernels against full kernels times a mask, the obvious way."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from prsr.models import layers


def test_groups_of_64_features():
    groups = layers.channel_groups(64, 3)
    assert [int(np.sum(groups == c)) for c in range(3)] == [22, 21, 21]
    assert np.all(np.diff(groups) >= 0)


def test_channel_mask_by_hand():
    rgb = [0, 1, 2]
    assert layers.channel_mask(rgb, rgb, "A").tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert layers.channel_mask(rgb, rgb, "B").tolist() == [[1, 1, 1], [0, 1, 1], [0, 0, 1]]


def test_shift_down_by_hand():
    x = np.array([[1.0], [2.0], [3.0]]).reshape(1, 3, 1, 1)
    assert np.ravel(layers.shift_down(x)).tolist() == [0.0, 1.0, 2.0]


def test_gate_by_hand():
    expected = np.tanh(0.5) / (1 + np.exp(2.0))
    np.testing.assert_allclose(layers.gate(np.array([[0.5, -2.0]])), [[expected]], rtol=1e-6)


@pytest.mark.parametrize("size", [1, 5, 7])
def test_vertical_conv_is_a_masked_square_kernel(size):
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype("float32")
    layer = layers.VerticalConv(4, size)
    actual = layer(x)
    full = np.zeros((size, size, 3, 4), "float32")
    full[: size // 2 + 1] = layer.kernel.numpy()
    np.testing.assert_allclose(actual, tf.nn.conv2d(x, full, 1, "SAME"), atol=1e-5)


@pytest.mark.parametrize("size", [1, 5, 7])
@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_horizontal_conv_is_a_masked_row_kernel(size, mask_type):
    x = np.random.default_rng(0).normal(size=(2, 4, 9, 3)).astype("float32")
    out_groups = layers.channel_groups(7, 3)
    layer = layers.HorizontalConv([0, 1, 2], out_groups, size, mask_type)
    actual = layer(x)
    full = np.zeros((1, size, 3, 7), "float32")
    full[:, : size // 2 + 1] = layer.kernel.numpy()
    full[:, size // 2] *= layers.channel_mask([0, 1, 2], out_groups, mask_type)
    np.testing.assert_allclose(actual, tf.nn.conv2d(x, full, 1, "SAME"), atol=1e-5)


def test_residual_block_without_weights_is_the_identity():
    block = layers.ResidualBlock(5, "none")
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 5)).astype("float32")
    block(x)
    for variable in block.trainable_variables:
        variable.assign(keras.ops.zeros_like(variable))
    np.testing.assert_array_equal(block(x), x)
