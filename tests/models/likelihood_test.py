import numpy as np
import pytest
import tensorflow as tf

from prsr.models import likelihood
from prsr.models.conditioning import ConditioningNetwork

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


def test_the_likelihood_is_that_of_independent_pixels(network):
    set_logits(network, {10: 0.5, 30: 0.3, 250: 0.2})
    high_res = np.full((5, 8, 8, 3), 30, np.uint8)
    nats = likelihood.nats(network, LOW_RES, high_res, batch_size=2)
    np.testing.assert_allclose(nats, -192 * np.log(0.3), rtol=1e-5)


class Counted:
    """A model whose scores are its inputs' first pixels, and that knows the batches' sizes."""

    def __init__(self):
        self.sizes = []

    def scores(self, low_res, high_res):
        self.sizes.append(len(low_res))
        return {"joint": low_res[:, 0, 0, 0], "conditioning": high_res[:, 0, 0, 0]}

    def log_likelihood(self, low_res, high_res):
        return -np.float32(self.scores(low_res, high_res)["joint"])


def test_batches_have_one_size_and_are_put_together():
    model = Counted()
    found = likelihood.scores(model, LOW_RES, LOW_RES + 1, batch_size=2)
    assert model.sizes == [2, 2, 2]
    np.testing.assert_array_equal(found["joint"], LOW_RES[:, 0, 0, 0])
    np.testing.assert_array_equal(found["conditioning"], LOW_RES[:, 0, 0, 0] + 1)
    nats = likelihood.nats(model, LOW_RES, LOW_RES, batch_size=9)
    assert model.sizes[3:] == [5]
    np.testing.assert_array_equal(nats, LOW_RES[:, 0, 0, 0])


def test_whoever_asks_again_and_again_gets_the_same_scores_from_a_graph(network):
    high_res = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    eager, inside = [], network.scores
    network.scores = lambda *pair: eager.append(tf.executing_eagerly()) or inside(*pair)
    repeated = likelihood.Repeated(network)
    for _ in range(2):
        nats = likelihood.nats(repeated, LOW_RES, high_res, batch_size=1)
        np.testing.assert_allclose(nats, likelihood.nats(network, LOW_RES, high_res, 5), rtol=1e-6)
    assert eager == [True] * 2 + [False] + [True] * 2  # one trace; the others are the reference's
