import numpy as np
import pytest

from prsr.models.conditioning import ConditioningNetwork


@pytest.mark.parametrize(
    ("size", "channels", "scale"), [(8, 3, 4), (7, 1, 4), (14, 1, 2), (8, 3, 8), (5, 3, 1)]
)
def test_logits_have_the_given_sizes(size, channels, scale):
    model = ConditioningNetwork(channels, scale, blocks_per_stage=1, width=4)
    logits = model(np.zeros((2, size, size, channels), "uint8"))
    assert logits.shape == (2, size * scale, size * scale, channels, 256)


@pytest.mark.parametrize("blocks_per_stage", [6, 10])
def test_parameters_of_table_2(blocks_per_stage):
    model = ConditioningNetwork(blocks_per_stage=blocks_per_stage, normalization="none")
    model(np.zeros((1, 8, 8, 3)))
    convolution = 9 * 32 * 32 + 32
    stem, logits = 3 * 32 + 32, 32 * 768 + 768
    assert model.count_params() == (
        stem + 3 * blocks_per_stage * 2 * convolution + 2 * convolution + logits
    )


def test_every_output_sees_its_input():
    """Each input pixel moves the 4x4 outputs that it covers."""
    model = ConditioningNetwork(blocks_per_stage=0, width=8, normalization="none")
    low_res = np.zeros((1, 4, 4, 3), "uint8")
    changed = low_res.copy()
    changed[0, 2, 1] = 255
    moved = np.any(np.asarray(model(low_res)) != np.asarray(model(changed)), axis=(0, 3, 4))
    assert moved[8:12, 4:8].all() and not moved[:7].any()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"scale": 3}, "power of two"),
        ({"channels": 4}, "channels"),
        ({"blocks_per_stage": -1}, "blocks_per_stage"),
        ({"width": 0}, "width"),
        ({"normalization": "layer"}, "normalization"),
    ],
)
def test_invalid_arguments_are_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        ConditioningNetwork(**arguments)


def test_recalibrated_statistics_are_means_over_batches():
    """The first normalisation is checked, whose input depends on no other."""
    model = ConditioningNetwork(blocks_per_stage=1, width=4)
    random = np.random.default_rng(0)
    batches = [random.integers(0, 256, (2, 4, 4, 3)) for _ in range(3)]
    model(batches[0])
    model.recalibrate_batch_norm(batches)
    block = model.stages[0][0]
    inputs = [np.asarray(block.first(model.stem(batch / 255 - 0.5))) for batch in batches]
    expected = np.mean([x.var(axis=(0, 1, 2)) for x in inputs], axis=0)
    np.testing.assert_allclose(block.first_norm.moving_variance.numpy(), expected, rtol=1e-4)
    expected = np.mean([x.mean(axis=(0, 1, 2)) for x in inputs], axis=0)
    np.testing.assert_allclose(block.first_norm.moving_mean.numpy(), expected, atol=1e-6)
    assert block.first_norm.momentum == 0.99
