"""Proof of causality, by gradients on untrained weights.

Every sub-pixel's logits must have gradient zero with respect to itself and everything
after it, and not zero with respect to everything before it in reach: no leak, no blind
spot.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from prsr.models.prior import GatedPixelCNN


def dependencies(model, image, positions):
    """Where the gradient of each position's logits is not zero, bool `[positions, *shape]`."""
    # One copy of the image for each position: one backward pass serves all.
    batch = tf.convert_to_tensor(np.repeat(image[None], len(positions), axis=0))
    index = [(i, *position) for i, position in enumerate(positions)]
    with tf.GradientTape() as tape:
        tape.watch(batch)
        logits = tf.gather_nd(model(batch), index)  # [positions, 256]
        # Fixed random weights: the sum of a softmax's logits may not cancel.
        weights = np.random.default_rng(7).normal(size=256).astype(logits.dtype.name)
        value = tf.reduce_sum(logits * weights)
    return tape.gradient(value, batch).numpy() != 0


def before(shape, position, reach):
    """The sub-pixels in reach before a position, from the order's definition.

    The 7x7 layer reaches 3 pixels and each 5x5 layer 2 more: left in the own row; left,
    right and up from the row above.
    """
    row, column, channel = position
    rows, columns, channels = np.indices(shape)
    above = (rows < row) & (rows >= row - 1 - reach) & (np.abs(columns - column) <= reach)
    left = (rows == row) & (columns < column) & (columns >= column - reach)
    own = (rows == row) & (columns == column) & (channels < channel)
    return above | left | own


@pytest.mark.parametrize(
    ("shape", "num_layers"), [((11, 13, 3), 1), ((9, 8, 3), 3), ((12, 12, 1), 1)]
)
def test_a_small_model_is_causal_at_every_sub_pixel(shape, num_layers):
    keras.utils.set_random_seed(1)
    model = GatedPixelCNN(shape[-1], width=13, num_layers=num_layers, hidden=25, dtype="float64")
    positions = list(np.ndindex(*shape))
    # A narrow ReLU layer may be dead at a position for one image: any of four counts.
    images = np.random.default_rng(0).uniform(0, 255, (4, *shape))
    actual = np.any([dependencies(model, image, positions) for image in images], axis=0)
    for position, seen in zip(positions, actual):
        np.testing.assert_array_equal(
            seen, before(shape, position, reach=3 + 2 * num_layers), err_msg=str(position)
        )


def test_the_full_size_model_is_causal():
    keras.utils.set_random_seed(1)
    model = GatedPixelCNN()
    shape = (32, 32, 3)
    image = np.random.default_rng(0).uniform(0, 255, shape).astype("float32")
    places = [(0, 0), (0, 31), (1, 17), (16, 16), (20, 3), (31, 0), (31, 31)]
    positions = [(*place, channel) for place in places for channel in range(3)]
    for half in (positions[::2], positions[1::2]):
        for position, seen in zip(half, dependencies(model, image, half)):
            np.testing.assert_array_equal(
                seen, before(shape, position, reach=43), err_msg=str(position)
            )


def test_a_leak_would_be_seen():
    """The proof can fail: without the channel masks, G and B are seen too early."""
    model = GatedPixelCNN(3, width=6, num_layers=1, hidden=6, dtype="float64")
    model.logits.mask[:] = 1
    image = np.random.default_rng(0).uniform(0, 255, (5, 5, 3))
    (seen,) = dependencies(model, image, [(2, 2, 0)])
    assert not np.array_equal(seen, before((5, 5, 3), (2, 2, 0), reach=5))


def test_parameters_of_table_2():
    model = GatedPixelCNN()
    model(np.zeros((1, 8, 8, 3)))
    first = (4 * 7 + 4) * 3 * 64 + 2 * 64
    gated = 15 * 64 * 128 + 3 * 64 * 128 + 128 * 128 + 64 * 64 + 3 * 128 + 64
    last = 64 * 1024 + 1024 + 1024 * 768 + 768
    assert model.count_params() == first + 20 * gated + last


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"channels": 2}, "channels"),
        ({"num_layers": 0}, "gated layer"),
        ({"width": 2}, "width"),
        ({"hidden": 2}, "hidden"),
    ],
)
def test_invalid_arguments_are_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        GatedPixelCNN(**arguments)
