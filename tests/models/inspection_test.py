"""What is looked into is what the model computes, and the scores have their definitions."""

import numpy as np
import pytest

from prsr.models import inspection
from prsr.models.pixel_recursive import Logits, PixelRecursiveSuperResolution

RNG = np.random.default_rng(0)


def log_softmax(x):
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_scores_by_hand():
    """A gives the values 3 and 7 one half each; B gives them one and three quarters."""
    a, b = (np.full((1, 1, 2, 1, 256), -40.0) for _ in range(2))
    a[..., [3, 7]] = np.log([0.5, 0.5])
    b[..., [3, 7]] = np.log([0.25, 0.75])
    found = inspection.compare(Logits(a, b, a + b), np.array([3, 7]).reshape(1, 1, 2, 1))
    found = {name: np.asarray(x)[0, 0] for name, x in found.items()}
    for name, expected in {
        "conditioning_nats": [np.log(2)] * 2,
        "prior_nats": [-np.log(0.25), -np.log(0.75)],
        "joint_nats": [-np.log(0.25), -np.log(0.75)],
        "conditioning_entropy_bits": [1, 1],
        "joint_entropy_bits": [0.811278] * 2,
        "prior_moved_bits": [1 - 0.811278] * 2,  # from a coin's toss
        "conditioning_moved_bits": [0, 0],
    }.items():
        np.testing.assert_allclose(found[name][:, 0], expected, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def looked_into():
    model = PixelRecursiveSuperResolution(
        scale=2, blocks_per_stage=1, conditioning_width=8, prior_width=8, prior_layers=2,
        prior_hidden=10,
    )  # fmt: skip
    low_res = RNG.integers(0, 256, (3, 3, 4, 3), dtype=np.uint8)
    high_res = RNG.integers(0, 256, (3, 6, 8, 3), dtype=np.uint8)
    model((low_res, high_res))
    for variable in model.trainable_variables:  # or it would say next to nothing
        variable.assign(RNG.normal(0, 0.3, variable.shape))
    found = inspection.inspect(model.inspect, low_res, high_res, batch_size=2)
    return model, low_res, high_res, found


def test_inspected_logits_and_likelihoods_are_the_model_s(looked_into):
    model, low_res, high_res, found = looked_into
    for name, logits in model((low_res, high_res))._asdict().items():
        expected = log_softmax(np.asarray(logits))
        np.testing.assert_allclose(found[f"{name}_logits"], expected, atol=1e-4)
        assert found[f"{name}_nats"].shape == high_res.shape
    log_likelihood = np.asarray(model.log_likelihood(low_res, high_res))
    np.testing.assert_allclose(-found["joint_nats"].sum((1, 2, 3)), log_likelihood, rtol=1e-5)
    scores = model.scores(low_res, high_res)
    for name in scores:
        np.testing.assert_allclose(found[f"{name}_nats"].sum((1, 2, 3)), scores[name], rtol=1e-5)


def test_a_box_equals_its_part_of_the_image(looked_into):
    model, low_res, high_res, found = looked_into
    part = inspection.inspect(model.inspect, low_res, high_res, (2, 1, 7, 3))
    for name, whole in found.items():
        np.testing.assert_allclose(part[name], whole[:, 1:3, 2:7], atol=1e-5)
        assert part[name].base is None or part[name].base.nbytes == part[name].nbytes
