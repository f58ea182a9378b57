import keras
import numpy as np
import pytest

from prsr.models import losses
from prsr.models.pixel_recursive import PixelRecursiveSuperResolution

SMALL = {
    "blocks_per_stage": 1,
    "conditioning_width": 4,
    "prior_width": 6,
    "prior_layers": 2,
    "prior_hidden": 8,
}


def pair(size=8, scale=4, channels=3):
    random = np.random.default_rng(0)
    low_res = random.integers(0, 256, (2, size // scale, size // scale, channels))
    return low_res, random.integers(0, 256, (2, size, size, channels))


def test_joint_logits_are_the_sum():
    model = PixelRecursiveSuperResolution(**SMALL)
    low_res, high_res = pair()
    np.testing.assert_allclose(
        model(low_res, high_res), model.conditioning(low_res) + model.prior(high_res)
    )


def test_log_likelihood_is_the_chain_rule():
    """Each factor of equation 5, from an image in which the future is erased."""
    keras.utils.set_random_seed(2)
    model = PixelRecursiveSuperResolution(**SMALL, scale=2, channels=3, dtype="float64")
    low_res, high_res = pair(size=4, scale=2)
    expected = np.zeros(2)
    known = np.zeros_like(high_res)
    for row, column, channel in np.ndindex(4, 4, 3):
        logits = np.asarray(model(low_res, known))[:, row, column, channel]
        value = high_res[:, row, column, channel]
        chosen = logits[np.arange(2), value]
        expected += chosen - np.log(np.sum(np.exp(logits), axis=-1))
        known[:, row, column, channel] = value
    np.testing.assert_allclose(model.log_likelihood(low_res, high_res), expected, rtol=1e-10)


def test_a_model_without_weights_scores_8_bits():
    model = PixelRecursiveSuperResolution(**SMALL)
    low_res, high_res = pair()
    model(low_res, high_res)
    for variable in model.trainable_variables:
        variable.assign(keras.ops.zeros_like(variable))
    nats = -np.asarray(model.log_likelihood(low_res, high_res))
    np.testing.assert_allclose(nats, 192 * np.log(256), rtol=1e-6)
    np.testing.assert_allclose(losses.bits_per_dim(nats, (8, 8, 3)), 8, rtol=1e-6)


@pytest.mark.parametrize(("size", "scale", "channels"), [(28, 4, 1), (16, 2, 3), (16, 8, 1)])
def test_sizes_are_arguments(size, scale, channels):
    model = PixelRecursiveSuperResolution(channels=channels, scale=scale, **SMALL)
    assert model(*pair(size, scale, channels)).shape == (2, size, size, channels, 256)


def test_images_that_do_not_fit_are_refused():
    model = PixelRecursiveSuperResolution(**SMALL)
    low_res, high_res = pair()
    with pytest.raises(ValueError, match="do not match"):
        model(low_res, high_res[:, :, :7])
    with pytest.raises(ValueError, match="do not match"):
        model(low_res[..., :1], high_res[..., :1])
