import numpy as np
import tensorflow as tf

from prsr.models import likelihood
from prsr.models.pixel_independent import PixelIndependent

LOW_RES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)


class Counted:
    """A model whose scores are its inputs' first pixels, and that knows the batches' sizes."""

    def __init__(self):
        self.sizes = []

    def scores(self, low_res, high_res):
        self.sizes.append(len(low_res))
        return {"joint": low_res[:, 0, 0, 0], "conditioning": high_res[:, 0, 0, 0]}

    def log_likelihood(self, low_res, high_res):
        return -np.float32(self.scores(low_res, high_res)["joint"])


def test_scores_are_computed_in_batches_of_one_size():
    model = Counted()
    found = likelihood.scores(model, LOW_RES, LOW_RES + 1, batch_size=2)
    assert model.sizes == [2, 2, 2]
    np.testing.assert_array_equal(found["joint"], LOW_RES[:, 0, 0, 0])
    np.testing.assert_array_equal(found["conditioning"], LOW_RES[:, 0, 0, 0] + 1)
    nats = likelihood.nats(model, LOW_RES, LOW_RES, batch_size=9)
    assert model.sizes[3:] == [5]
    np.testing.assert_array_equal(nats, LOW_RES[:, 0, 0, 0])


def test_repeated_scores_are_the_same_and_come_from_a_graph():
    network = PixelIndependent(scale=2, blocks_per_stage=1, width=4)
    high_res = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    eager, inside = [], network.scores
    network.scores = lambda *pair: eager.append(tf.executing_eagerly()) or inside(*pair)
    repeated = likelihood.Repeated(network)
    for _ in range(2):
        nats = likelihood.nats(repeated, LOW_RES, high_res, batch_size=1)
        np.testing.assert_allclose(nats, likelihood.nats(network, LOW_RES, high_res, 5), rtol=1e-6)
    assert eager == [True] * 2 + [False] + [True] * 2  # one trace; the others are the reference's
