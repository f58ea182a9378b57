import keras
import numpy as np
import pytest
import tensorflow as tf

from prsr.models.pixel_recursive import PixelRecursiveSuperResolution
from prsr.sampling import naive, noise


def test_order_and_feedback_by_a_toy_prior():
    """A prior whose every sub-pixel must be one more than the one before it."""

    def prior(images):
        flat = tf.reshape(images, (tf.shape(images)[0], -1))
        following = tf.concat([tf.zeros_like(flat[:, :1]), flat[:, :-1] + 1], axis=1)
        return tf.reshape(tf.one_hot(following, 256) * 1e4, (-1, 3, 4, 3, 256))

    logits = tf.zeros((2, 3, 4, 3, 256))
    drawn = naive.sample(prior, logits, tf.constant([[0, 0], [0, 1]]), 1.0)
    np.testing.assert_array_equal(drawn, np.tile(np.arange(36).reshape(3, 4, 3), (2, 1, 1, 1)))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    model = PixelRecursiveSuperResolution(
        scale=2,
        blocks_per_stage=1,
        conditioning_width=8,
        prior_width=9,
        prior_layers=2,
        prior_hidden=12,
    )
    model(np.zeros((1, 3, 3, 3)), np.zeros((1, 6, 6, 3)))
    return model


LOW_RES = np.random.default_rng(0).integers(0, 256, (3, 3, 3, 3), dtype=np.uint8)
SEEDS = np.array([[5, 0], [5, 1], [6, 0]])


def test_one_pass_draws_the_finished_samples_again(model):
    """The fixed point: with the same noise, every sub-pixel follows from those before it."""
    drawn = naive.sampler(model)(LOW_RES, SEEDS, 1.1)
    logits = model(LOW_RES, drawn)
    again = noise.draw(logits, 1.1, noise.uniforms(SEEDS, (6, 6, 3)))
    np.testing.assert_array_equal(drawn, again)
    assert len(np.unique(drawn)) > 50


def test_only_the_first_sub_pixels(model):
    whole = naive.sampler(model)(LOW_RES, SEEDS, 1.0).reshape(3, -1)
    part = naive.sampler(model, 5)(LOW_RES, SEEDS, 1.0).reshape(3, -1)
    np.testing.assert_array_equal(part[:, :5], whole[:, :5])
    assert not part[:, 5:].any()
    assert not naive.sampler(model, 0)(LOW_RES, SEEDS, 1.0).any()


def test_a_sample_does_not_depend_on_its_batch(model):
    sampler = naive.sampler(model)
    together = sampler(LOW_RES, SEEDS, 1.0)
    alone = [sampler(LOW_RES[i : i + 1], SEEDS[i : i + 1], 1.0)[0] for i in range(3)]
    np.testing.assert_array_equal(together, alone)


def test_greedy_is_infinite_tau(model):
    sampler = naive.sampler(model)
    greedy = sampler(LOW_RES, SEEDS, float("inf"))
    np.testing.assert_array_equal(greedy, sampler(LOW_RES, SEEDS + 1, float("inf")))
    logits = np.asarray(model(LOW_RES, greedy))
    np.testing.assert_array_equal(greedy, logits.argmax(axis=-1))


def test_samples_follow_the_model():
    """The first sub-pixel of many images, against softmax(A + B)."""
    keras.utils.set_random_seed(4)
    model = PixelRecursiveSuperResolution(
        channels=1, scale=1, blocks_per_stage=0, conditioning_width=8, prior_width=4,
        prior_layers=1, prior_hidden=4,
    )  # fmt: skip
    low_res = np.full((4000, 1, 1, 1), 255, np.uint8)
    logits = model(low_res[:1], low_res[:1])[0, 0, 0, 0]
    expected = tf.nn.softmax(logits).numpy() * 4000
    seeds = np.stack([np.full(4000, 9), np.arange(4000)], axis=1)
    drawn = naive.sampler(model)(low_res, seeds, 1.0)
    counts = np.bincount(drawn.ravel(), minlength=256)
    chi_square = np.sum((counts - expected) ** 2 / expected)
    assert chi_square < 330  # 0.1% point with 255 degrees of freedom
