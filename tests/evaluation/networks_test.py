import numpy as np
import pytest

from prsr import images
from prsr.evaluation.networks import CrossEntropy, Regression
from prsr.models.conditioning import ConditioningNetwork
from prsr.models.regression import RegressionNetwork

LOW_RES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)


@pytest.fixture
def network():
    model = ConditioningNetwork(scale=2, blocks_per_stage=1, width=4)
    model(LOW_RES)
    return model


def set_logits(model, probabilities):
    """Makes every sub-pixel's distribution the same, whatever the input."""
    bias = np.full((3, 256), -1e4, np.float32)
    for value, probability in probabilities.items():
        bias[:, value] = np.log(probability)
    model.logits.kernel.assign(np.zeros(model.logits.kernel.shape))
    model.logits.bias.assign(bias.ravel())


def test_mode_mean_and_samples_of_a_known_distribution(network):
    set_logits(network, {10: 0.5, 30: 0.3, 250: 0.2})
    mode, mean, sample = (
        CrossEntropy(network, choice, batch_size=2).predict(LOW_RES)
        for choice in ("mode", "mean", "sample")
    )
    assert mode.shape == (5, 8, 8, 3) and mode.dtype == np.uint8
    assert np.all(mode == 10)
    assert np.all(mean == 64)  # 5 + 9 + 50
    shares = [np.mean(sample == value) for value in (10, 30, 250)]
    assert sum(shares) == 1
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.06)  # of 960


def test_samples_are_independent_of_their_neighbours_and_batch(network):
    set_logits(network, {0: 0.5, 255: 0.5})
    one = CrossEntropy(network, "sample", batch_size=1).predict(LOW_RES)
    np.testing.assert_array_equal(
        one, CrossEntropy(network, "sample", batch_size=4).predict(LOW_RES)
    )
    other = CrossEntropy(network, "sample", seed=2).predict(LOW_RES)
    assert 0.4 < np.mean(one == other) < 0.6
    assert 0.4 < np.mean(one[:, :, 1:] == one[:, :, :-1]) < 0.6


def test_regression_is_bicubic_plus_a_clipped_residual():
    model = RegressionNetwork(scale=2, blocks_per_stage=1, width=4)
    model(LOW_RES)
    model.residual.kernel.assign(np.zeros(model.residual.kernel.shape))
    bicubic = np.asarray(images.upsample_bicubic(LOW_RES, 2)).astype(int)
    for bias in (0.0, 0.2, -5.0):
        model.residual.bias.assign(np.full(3, bias))
        expected = np.clip(np.round(bicubic + 255 * np.tanh(bias)), 0, 255)
        found = Regression(model, batch_size=2).predict(LOW_RES)
        assert found.dtype == np.uint8
        assert np.abs(found - expected).max() <= 1  # rounding
    assert np.all(found <= 1)  # tanh(-5) is nearly -1
    assert model(LOW_RES).numpy().max() < 0.1  # unclipped where it is trained
