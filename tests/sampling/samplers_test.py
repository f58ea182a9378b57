"""One way to draw from any model, in batches of one size."""

import numpy as np
import pytest

from prsr.hparams import Sampling
from prsr.models.conditioning import ConditioningNetwork
from prsr.models.regression import RegressionNetwork
from prsr.sampling import noise, samplers

LOW_RES = np.random.default_rng(0).integers(0, 256, (5, 2, 2, 3), dtype=np.uint8)
SEEDS = np.stack([np.full(5, 9), np.arange(5)], axis=1).astype(np.int32)


def test_a_regression_knows_neither_seeds_nor_tau():
    model = RegressionNetwork(scale=2, blocks_per_stage=0, width=3)
    sampler = samplers.sampler(model)
    expected = model.predict_images(LOW_RES)
    np.testing.assert_array_equal(sampler(LOW_RES, SEEDS, Sampling(1.0)), expected)
    np.testing.assert_array_equal(sampler(LOW_RES, SEEDS + 1, Sampling(np.inf)), expected)


def test_a_pixel_independent_model_draws_each_sub_pixel_by_itself():
    model = ConditioningNetwork(scale=2, blocks_per_stage=0, width=3)
    sampler = samplers.sampler(model)
    drawn = sampler(LOW_RES, SEEDS, Sampling(0.7))
    expected = noise.draw(model(LOW_RES), 0.7, noise.uniforms(SEEDS, (4, 4, 3)))
    np.testing.assert_array_equal(drawn, expected)
    greedy = sampler(LOW_RES, SEEDS, Sampling(np.inf))
    np.testing.assert_array_equal(greedy, np.argmax(model(LOW_RES), axis=-1))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 9])
def test_batches_are_of_one_size_and_change_nothing(batch_size):
    """The last one begins anew, and what is drawn twice is left out."""
    sizes, told = [], []

    def sampler(low_res, seeds, sampling):
        sizes.append(len(low_res))
        return low_res + seeds[:, 1, None, None, None].astype(np.uint8)

    class Bar:
        update = told.append

    drawn = samplers.draw(sampler, LOW_RES, SEEDS, Sampling(), batch_size, Bar())
    np.testing.assert_array_equal(
        drawn, LOW_RES + np.arange(5, dtype=np.uint8)[:, None, None, None]
    )
    assert set(sizes) == {min(batch_size, 5)} and told[-1] == 5


def test_several_samples_of_each_input_have_their_own_seeds():
    def sampler(low_res, seeds, sampling):
        return np.tile(seeds[:, 1, None, None, None], (1, 4, 4, 3))

    drawn = samplers.draw_samples(sampler, LOW_RES, 3, 7, Sampling(), 4)
    assert drawn.shape == (5, 3, 4, 4, 3)
    for image, own in zip(LOW_RES, drawn):
        np.testing.assert_array_equal(own[:, 0, 0, 0], noise.image_seeds(image, 7, 3)[:, 1])
