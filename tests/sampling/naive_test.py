import numpy as np
import pytest
import tensorflow as tf

from prsr.sampling import naive, noise
from tests.sampling.cached_test import make


def rising(images):
    """Logits by which every sub-pixel must be one more than the one before it."""
    flat = tf.reshape(images, (tf.shape(images)[0], -1))
    following = tf.concat([tf.zeros_like(flat[:, :1]), flat[:, :-1] + 1], axis=1)
    return tf.reshape(tf.one_hot(following, 256) * 1e4, (*images.shape, 256))


def test_order_and_feedback_by_a_toy_function():
    """All sub-pixels of two images, or the first five of one, follow from the one before."""
    drawn = naive.sample(rising, (3, 4, 3), tf.constant([[0, 0], [0, 1]]), 1.0)
    np.testing.assert_array_equal(drawn, np.tile(np.arange(36).reshape(3, 4, 3), (2, 1, 1, 1)))
    part = naive.sample(rising, (3, 4, 3), tf.constant([[0, 0]]), 1.0, count=5).numpy().ravel()
    np.testing.assert_array_equal(part, [0, 1, 2, 3, 4, *[0] * 31])


def test_given_values_are_kept_and_fed_back():
    given = np.full((1, 3, 4, 3), -1)
    given[0, 1, 0, 0] = 100  # sub-pixel 12
    drawn = naive.sample(
        rising, (3, 4, 3), tf.constant([[0, 0]]), 1.0, tf.constant(given, tf.int32)
    )
    np.testing.assert_array_equal(drawn.numpy().ravel(), [*range(12), *range(100, 124)])


@pytest.fixture(scope="module")
def model():
    return make((2, 2), prior_width=9, prior_hidden=12)


LOW_RES = np.random.default_rng(0).integers(0, 256, (3, 2, 2, 3), dtype=np.uint8)
SEEDS = np.array([[5, 0], [5, 1], [6, 0]])


def test_guidance_multiplies_a_by_one_more(model):
    """Samples equal a loop over sub-pixels that calls both networks."""
    tau, guidance = 1.2, 2.0
    uniforms = noise.uniforms(tf.constant(SEEDS, tf.int32), (4, 4, 3)).numpy()
    expected = np.zeros((3, 4, 4, 3), np.uint8)
    a = np.asarray(model.conditioning(LOW_RES))
    for place in np.ndindex(4, 4, 3):
        b = np.asarray(model.prior(expected))
        logits = (b + (1 + guidance) * a)[(slice(None), *place)]
        expected[(slice(None), *place)] = noise.draw(logits, tau, uniforms[(slice(None), *place)])
    drawn = naive.sampler(model)(LOW_RES, SEEDS, tau, guidance=guidance)
    np.testing.assert_array_equal(drawn, expected)


def test_one_pass_draws_the_finished_samples_again(model):
    """With the same noise, every sub-pixel follows from those before it."""
    drawn = naive.sampler(model)(LOW_RES, SEEDS, 1.1)
    logits = model((LOW_RES, drawn)).joint
    again = noise.draw(logits, 1.1, noise.uniforms(SEEDS, (4, 4, 3)))
    np.testing.assert_array_equal(drawn, again)
    assert len(np.unique(drawn)) > 50
