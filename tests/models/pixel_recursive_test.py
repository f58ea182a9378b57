import keras
import numpy as np
import pytest
import tensorflow as tf

from prsr.models.pixel_recursive import Logits, PixelRecursiveSuperResolution

SMALL = {
    "blocks_per_stage": 1,
    "conditioning_width": 4,
    "prior_width": 6,
    "prior_layers": 2,
    "prior_hidden": 8,
}


def pair(size=8, scale=4):
    random = np.random.default_rng(0)
    low_res = random.integers(0, 256, (2, size // scale, size // scale, 3))
    return low_res, random.integers(0, 256, (2, size, size, 3))


def test_joint_logits_are_the_sum():
    """The joint logits are A(x) + B(y), or (1 + guidance) A(x) + B(y) (equation 6)."""
    model = PixelRecursiveSuperResolution(**SMALL)
    low_res, high_res = pair()
    logits = model((low_res, high_res))
    a, b = model.conditioning(low_res), model.prior(high_res)
    np.testing.assert_allclose(logits.conditioning, a)
    np.testing.assert_allclose(logits.prior, b)
    np.testing.assert_allclose(logits.joint, a + b)
    strong = model((low_res, high_res), guidance=2.0)
    np.testing.assert_allclose(strong.joint, 3 * a + b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(strong.conditioning, a)


def test_predict_takes_the_pair():
    """`predict` returns the logits of `call`, and rejects an input without `high_res`."""
    model = PixelRecursiveSuperResolution(**SMALL)
    low_res, high_res = pair()
    expected = model((low_res, high_res))
    for found, logits in zip(model.predict((low_res, high_res), verbose=0), expected):
        np.testing.assert_allclose(found, logits, atol=1e-5)
    with pytest.raises(ValueError, match="pair"):
        model(low_res)


def test_log_likelihood_is_the_chain_rule():
    """Each factor of equation 5, from an image in which the future is erased."""
    keras.utils.set_random_seed(2)
    model = PixelRecursiveSuperResolution(**SMALL, scale=2, channels=3, dtype="float64")
    low_res, high_res = pair(size=4, scale=2)
    expected = np.zeros(2)
    known = np.zeros_like(high_res)
    for row, column, channel in np.ndindex(4, 4, 3):
        logits = np.asarray(model((low_res, known)).joint)[:, row, column, channel]
        value = high_res[:, row, column, channel]
        chosen = logits[np.arange(2), value]
        expected += chosen - np.log(np.sum(np.exp(logits), axis=-1))
        known[:, row, column, channel] = value
    np.testing.assert_allclose(model.log_likelihood(low_res, high_res), expected, rtol=1e-10)


def test_images_that_do_not_fit_are_refused():
    model = PixelRecursiveSuperResolution(**SMALL)
    low_res, high_res = pair()
    with pytest.raises(ValueError, match="do not match"):
        model((low_res, high_res[:, :, :7]))
    with pytest.raises(ValueError, match="do not match"):
        model((low_res[..., :1], high_res[..., :1]))


def scored(a, b, high_res):
    model = PixelRecursiveSuperResolution(**SMALL)
    return model, model.output_scores(Logits(a, b, a + b), high_res)


def test_cross_entropies_by_hand():
    """One grey sub-pixel, logits zero but for the label: A gives it ln 3, B gives it ln 5."""
    conditioning, prior = np.zeros((2, 1, 1, 1, 1, 256), "float32")
    conditioning[..., 7], prior[..., 7] = np.log(3), np.log(5)
    _, nats = scored(conditioning, prior, np.full((1, 1, 1, 1), 7, "uint8"))
    np.testing.assert_allclose(nats["conditioning"], [np.log(258 / 3)], rtol=1e-6)
    np.testing.assert_allclose(nats["prior"], [np.log(260 / 5)], rtol=1e-6)
    np.testing.assert_allclose(nats["joint"], [np.log(270 / 15)], rtol=1e-6)


def test_objective_is_equation_8():
    """The objective is minus O2 for one image, written as in the paper; with weight 0, minus O1."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 1, 2, 2, 3, 256))
    y = random.integers(0, 256, (1, 2, 2, 3))
    one_hot = np.eye(256)[y]

    def lse(logits):
        return np.log(np.sum(np.exp(logits), axis=-1))

    o1 = np.sum(np.sum(one_hot * (a + b), axis=-1) - lse(a + b))
    o2 = np.sum(np.sum(one_hot * (2 * a + b), axis=-1) - lse(a + b) - lse(a))
    model, nats = scored(tf.constant(a), tf.constant(b), y)
    np.testing.assert_allclose(model.objective(nats), [-o2], rtol=1e-12)
    np.testing.assert_allclose(model.objective(nats, conditioning_weight=0), [-o1], rtol=1e-12)


def test_the_prior_alone_is_not_trained_on():
    """CE(B) is monitored: it has no gradient."""
    a, b = tf.zeros((2, 1, 1, 1, 1, 256))
    with tf.GradientTape() as tape:
        tape.watch(b)
        prior = scored(a, b, np.zeros((1, 1, 1, 1)))[1]["prior"]
    assert tape.gradient(prior, b) is None
