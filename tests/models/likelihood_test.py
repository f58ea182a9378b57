import numpy as np
import pytest

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


def test_batches_are_put_together_and_the_model_s_own_score_is_its_likelihood():
    class Model:
        def scores(self, low_res, high_res):
            sizes.append(len(low_res))
            return {"joint": low_res[:, 0, 0, 0], "conditioning": high_res[:, 0, 0, 0]}

    sizes = []
    found = likelihood.scores(Model(), LOW_RES, LOW_RES + 1, batch_size=2)
    assert sizes == [2, 2, 1]
    np.testing.assert_array_equal(found["joint"], LOW_RES[:, 0, 0, 0])
    np.testing.assert_array_equal(found["conditioning"], LOW_RES[:, 0, 0, 0] + 1)
    np.testing.assert_array_equal(
        likelihood.nats(Model(), LOW_RES, LOW_RES, 5), LOW_RES[:, 0, 0, 0]
    )
