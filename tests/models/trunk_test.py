"""Batch normalisation of what both networks share."""

import numpy as np

from prsr.models.conditioning import ConditioningNetwork


def test_statistics_are_the_mean_over_batches():
    """Of the first normalisation, whose input does not depend on any other."""
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


def test_with_one_batch_scoring_equals_training():
    model = ConditioningNetwork(blocks_per_stage=2, width=4)
    batch = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3))
    trained = model(batch, training=True)
    model.recalibrate_batch_norm([batch])
    np.testing.assert_allclose(model(batch), trained, atol=1e-3)
