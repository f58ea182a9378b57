import numpy as np
import pytest
import tensorflow as tf

from prsr.models import losses


def test_cross_entropies_by_hand():
    """One grey sub-pixel, logits zero but for the label: A gives it ln 3, B gives it ln 5."""
    conditioning, prior = np.zeros((2, 1, 1, 1, 1, 256), "float32")
    conditioning[..., 7], prior[..., 7] = np.log(3), np.log(5)
    label = np.full((1, 1, 1, 1), 7, "uint8")
    nats = losses.cross_entropies(conditioning, prior, label)
    np.testing.assert_allclose(nats["conditioning"], [np.log(258 / 3)], rtol=1e-6)
    np.testing.assert_allclose(nats["prior"], [np.log(260 / 5)], rtol=1e-6)
    np.testing.assert_allclose(nats["joint"], [np.log(270 / 15)], rtol=1e-6)


def test_loss_is_equation_8():
    """Minus O2 for one image, written as in the paper."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 1, 2, 2, 3, 256))
    y = random.integers(0, 256, (1, 2, 2, 3))
    one_hot = np.eye(256)[y]

    def lse(logits):
        return np.log(np.sum(np.exp(logits), axis=-1))

    o2 = np.sum(np.sum(one_hot * (2 * a + b), axis=-1) - lse(a + b) - lse(a))
    nats = losses.cross_entropies(tf.constant(a), tf.constant(b), y)
    np.testing.assert_allclose(nats["joint"] + nats["conditioning"], [-o2], rtol=1e-12)


def test_the_prior_alone_is_not_trained_on():
    a, b = tf.zeros((1, 1, 1, 1, 256)), tf.zeros((1, 1, 1, 1, 256))
    with tf.GradientTape() as tape:
        tape.watch(b)
        nats = losses.cross_entropies(a, b, np.zeros((1, 1, 1, 1)))["prior"]
    assert tape.gradient(nats, b) is None


def test_bfloat16_logits_are_summed_in_float32():
    logits = tf.zeros((1, 32, 32, 3, 256), tf.bfloat16)
    nats = losses.nats_per_image(logits, np.zeros((1, 32, 32, 3)))
    np.testing.assert_allclose(nats, [3072 * np.log(256)], rtol=1e-5)


def test_bits_per_dim_by_hand():
    assert losses.bits_per_dim(3072 * np.log(2), (32, 32, 3)) == pytest.approx(1.0)
