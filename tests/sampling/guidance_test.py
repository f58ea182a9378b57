"""Guidance by A, and what each kind of model can be sampled with."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from prsr import images
from prsr.hparams import DOWNSAMPLING, DataHparams, Hparams, ModelHparams, Sampling
from prsr.models.conditioning import ConditioningNetwork
from prsr.models.regression import RegressionNetwork
from prsr.sampling import cached, naive, noise, projection, samplers
from prsr.system.errors import UserError
from tests.sampling.cached_test import ask, make


def test_the_logits_are_tau_times_b_and_more_of_a():
    """One sub-pixel after another, with the models called by hand."""
    model = make((2, 2))
    low_res, seeds = ask(model, (2, 2), batch=2)
    tau, guidance = 1.2, 2.0
    uniforms = noise.uniforms(tf.constant(seeds, tf.int32), (4, 4, 3)).numpy()
    expected = np.zeros((2, 4, 4, 3), np.uint8)
    a = np.asarray(model.conditioning(low_res))
    for place in np.ndindex(4, 4, 3):
        b = np.asarray(model.prior(expected))
        logits = (b + (1 + guidance) * a)[(slice(None), *place)]
        expected[(slice(None), *place)] = noise.draw(logits, tau, uniforms[(slice(None), *place)])
    for draw in (naive.sampler(model), cached.sampler(model)):
        np.testing.assert_array_equal(draw(low_res, seeds, tau, guidance=guidance), expected)


def test_no_guidance_is_the_paper_s():
    model = make((2, 2))
    low_res, seeds = ask(model, (2, 2))
    sampler = cached.sampler(model)
    plain = sampler(low_res, seeds, 1.0)
    np.testing.assert_array_equal(sampler(low_res, seeds, 1.0, guidance=0.0), plain)
    assert (sampler(low_res, seeds, 1.0, guidance=3.0) != plain).mean() > 0.1


def test_rows_are_guided_alike():
    model = make((2, 2))
    low_res, seeds = ask(model, (2, 2))
    rows = list(cached.row_sampler(model)(low_res, seeds, 1.1, guidance=2.5))
    whole = cached.sampler(model)(low_res, seeds, 1.1, guidance=2.5)
    np.testing.assert_array_equal(np.stack(rows, axis=1), whole)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("method", DOWNSAMPLING)
def test_rows_are_matched_as_by_the_reference(method, jit_compile):
    """In batches, row by row, and with guidance."""
    model = make((3, 3))
    low_res, seeds = ask(model, (3, 3))
    options = {"guidance": 1.5, "match_rows": method}
    expected = naive.sampler(model)(low_res, seeds, 1.2, **options)
    drawn = cached.sampler(model, jit_compile)(low_res, seeds, 1.2, **options)
    np.testing.assert_array_equal(drawn, expected)
    rows = list(cached.row_sampler(model, jit_compile)(low_res, seeds, 1.2, **options))
    np.testing.assert_array_equal(np.stack(rows, axis=1), expected)
    assert (expected != naive.sampler(model)(low_res, seeds, 1.2, guidance=1.5)).any()


def test_matched_rows_are_what_the_rest_is_drawn_from():
    """Given its matched rows, the reference draws the same first channel of the next row."""
    model = make((2, 2))
    low_res, seeds = ask(model, (2, 2))
    sampler = cached.sampler(model)
    matched = sampler(low_res, seeds, 1.1, match_rows="antialiased")
    given = np.full(matched.shape, -1)
    given[:, :2] = matched[:, :2]
    again = sampler(low_res, seeds, 1.1, given=given, match_rows="antialiased")
    np.testing.assert_array_equal(again, matched)


def test_matched_rows_reduce_almost_to_the_input():
    model = make((4, 4), scale=4)
    low_res, seeds = ask(model, (4, 4))
    low_res = (low_res // 4 + 96).astype(np.uint8)  # so that nothing has to be clipped
    sampler = cached.sampler(model)

    def off(drawn):
        return np.abs(np.asarray(images.downsample(drawn, 4), float) - low_res).mean()

    plain = sampler(low_res, seeds, 1.0)
    assert off(sampler(low_res, seeds, 1.0, match_rows="antialiased")) < 0.5 * off(plain)


def test_matched_samples_are_projections_of_what_was_drawn():
    model = make((2, 2))
    low_res, seeds = ask(model, (2, 2))
    sampler = samplers.sampler(model, "tf1_bicubic")
    drawn = sampler(low_res, seeds, Sampling(1.1, 2.0))
    matched = sampler(low_res, seeds, Sampling(1.1, 2.0, "end"))
    np.testing.assert_array_equal(matched, projection.match(drawn, low_res, "tf1_bicubic"))
    np.testing.assert_array_equal(matched[:, ::2, ::2], low_res)  # what tf1_bicubic takes


def test_a_baseline_may_be_matched():
    keras.utils.set_random_seed(0)
    low_res = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    for kind in (RegressionNetwork, ConditioningNetwork):
        model = kind(blocks_per_stage=1, width=4)
        seeds = np.zeros((2, 2), np.int32)
        matched = samplers.sampler(model)(low_res, seeds, Sampling(match_input="end"))
        plain = samplers.sampler(model)(low_res, seeds, Sampling())
        np.testing.assert_array_equal(matched, projection.match(plain, low_res))


@pytest.mark.parametrize(
    ("sampling", "hparams", "word"),
    [
        (Sampling(guidance=-0.5), Hparams(), "guidance must be 0"),
        (Sampling(guidance=float("inf")), Hparams(), "guidance must be a finite"),
        (Sampling(guidance=float("nan")), Hparams(), "guidance must be"),
        (Sampling(tau=0.0), Hparams(), "tau must be more than 0"),
        (Sampling(guidance=1.0), Hparams(ModelHparams("regression")), "does not have both"),
        (Sampling(guidance=1.0), Hparams(ModelHparams("cross_entropy")), "does not have both"),
        (
            Sampling(match_input="end"),
            Hparams(data=DataHparams(pairs="corners")),
            "downsampled images",
        ),
    ],
)
def test_what_cannot_be(sampling, hparams, word):
    with pytest.raises(UserError, match=word):
        samplers.check(sampling, hparams)


@pytest.mark.parametrize("architecture", ["regression", "cross_entropy"])
def test_what_can_be(architecture):
    hparams = Hparams(ModelHparams(architecture))
    samplers.check(Sampling(match_input="end"), hparams)
    corners = dataclasses.replace(Hparams(), data=DataHparams(pairs="corners"))
    samplers.check(Sampling(guidance=2.0), corners)


def test_names():
    assert (Sampling(1.2).key, Sampling(1.2).title) == ("tau_1.2", "tau = 1.2")
    assert Sampling(float("inf")).key == "greedy"
    assert Sampling(1.2, 0.0, "rows").key == "tau_1.2_matched_by_rows"
    best = Sampling(1.2, 2.0, "end")
    assert (best.key, best.title) == (
        "tau_1.2_guidance_2_matched",
        "tau = 1.2, guidance 2, matched",
    )
