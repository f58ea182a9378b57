"""One way to draw from any model, in batches of one size."""

import keras
import numpy as np
import pytest

from prsr.hparams import DataHparams, Hparams, ModelHparams, Sampling
from prsr.models.build import build_model
from prsr.sampling import cached, noise, projection, samplers
from prsr.system.errors import UserError
from tests.sampling.cached_test import ask, make

LOW_RES = np.random.default_rng(0).integers(0, 256, (5, 2, 2, 3), dtype=np.uint8)
SEEDS = np.stack([np.full(5, 9), np.arange(5)], axis=1).astype(np.int32)


def baseline(architecture):
    keras.utils.set_random_seed(0)
    sizes = ModelHparams(architecture, scale=2, blocks_per_stage=0, conditioning_width=3)
    return build_model(Hparams(sizes, DataHparams(image_size=4)))


def test_a_regression_ignores_seeds_and_tau():
    model = baseline("regression")
    sampler = samplers.Sampler(model)
    sampler.warm_up(LOW_RES.shape)  # which does nothing
    expected = model.predict_images(LOW_RES)
    np.testing.assert_array_equal(sampler(LOW_RES, SEEDS, Sampling(1.0)), expected)
    np.testing.assert_array_equal(sampler(LOW_RES, SEEDS + 1, Sampling(np.inf)), expected)


def test_a_pixel_independent_model_draws_each_sub_pixel_by_itself():
    model = baseline("cross_entropy")
    sampler = samplers.Sampler(model)
    drawn = sampler(LOW_RES, SEEDS, Sampling(0.7))
    expected = noise.draw(model(LOW_RES), 0.7, noise.uniforms(SEEDS, (4, 4, 3)))
    np.testing.assert_array_equal(drawn, expected)
    greedy = sampler(LOW_RES, SEEDS, Sampling(np.inf))
    np.testing.assert_array_equal(greedy, np.argmax(model(LOW_RES), axis=-1))
    matched = sampler(LOW_RES, SEEDS, Sampling(0.7, match_input=True))
    np.testing.assert_array_equal(matched, projection.match(drawn, LOW_RES))


def test_the_paper_s_model_is_guided_and_its_samples_are_projected():
    model = make((2, 2))
    low_res, seeds = ask(model, (2, 2))
    sampler = samplers.Sampler(model, "tf1_bicubic", jit_compile=False)
    drawn = sampler(low_res, seeds, Sampling(1.1, 2.0))
    expected = cached.Sampler(model, jit_compile=False)(low_res, seeds, 1.1, guidance=2.0)
    np.testing.assert_array_equal(drawn, expected)
    matched = sampler(low_res, seeds, Sampling(1.1, 2.0, True))
    np.testing.assert_array_equal(matched, projection.match(drawn, low_res, "tf1_bicubic"))
    np.testing.assert_array_equal(matched[:, ::2, ::2], low_res)  # what tf1_bicubic takes


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 9])
def test_batches_are_of_one_size_and_change_nothing(batch_size):
    """The last batch overlaps the one before, and repeated images are left out."""
    sizes, told = [], []

    def sampler(low_res, seeds, sampling, given):
        sizes.append(len(low_res))
        return low_res + seeds[:, 1, None, None, None].astype(np.uint8)

    class Bar:
        update = told.append

    drawn = samplers.stream(sampler, LOW_RES, SEEDS, Sampling(), batch_size, Bar())
    np.testing.assert_array_equal(
        list(drawn), LOW_RES + np.arange(5, dtype=np.uint8)[:, None, None, None]
    )
    assert set(sizes) == {min(batch_size, 5)} and told[-1] == 5


def test_several_samples_of_each_input_have_their_own_seeds():
    def sampler(low_res, seeds, sampling, given):
        return np.tile(seeds[:, 1, None, None, None], (1, 4, 4, 3))

    drawn = samplers.draw_samples(sampler, LOW_RES, 3, 7, Sampling(), 4)
    assert drawn.shape == (5, 3, 4, 4, 3)
    for image, samples in zip(LOW_RES, drawn):
        np.testing.assert_array_equal(samples[:, 0, 0, 0], noise.image_seeds(image, 7, 3)[:, 1])


CORNERS = Hparams(data=DataHparams(pairs="corners"))


@pytest.mark.parametrize(
    ("sampling", "hparams", "word"),
    [
        (Sampling(guidance=-0.5), Hparams(), "guidance"),
        (Sampling(guidance=float("nan")), Hparams(), "guidance"),
        (Sampling(tau=0.0), Hparams(), "tau"),
        (Sampling(guidance=1.0), Hparams(ModelHparams("cross_entropy")), "cross_entropy"),
        (Sampling(match_input=True), CORNERS, "match_input"),
    ],
)
def test_settings_that_a_model_does_not_support_are_rejected(sampling, hparams, word):
    with pytest.raises(UserError, match=word):
        samplers.check(sampling, hparams)


def test_a_sampling_has_a_key_and_a_title():
    assert (Sampling(1.2).key, Sampling(1.2).title) == ("tau_1.2", "tau = 1.2")
    assert Sampling(float("inf")).key == "greedy"
    best = Sampling(1.2, 2.0, True)
    assert best.key == "tau_1.2_guidance_2_matched"
    assert best.title == "tau = 1.2, guidance 2, matched"
