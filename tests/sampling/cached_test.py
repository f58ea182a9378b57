import functools
import threading
import types
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from prsr.models.pixel_recursive import PixelRecursiveSuperResolution
from prsr.sampling import cached, naive, noise
from tests.runs import wait_for

INFINITY = float("inf")
pytestmark = pytest.mark.xla


def make(low_size, seed=3, **options):
    """A small untrained model."""
    keras.utils.set_random_seed(seed)
    small = {"scale": 2, "blocks_per_stage": 1, "conditioning_width": 8, "normalization": "none"}
    small |= {"prior_width": 8, "prior_layers": 2, "prior_hidden": 10}
    model = PixelRecursiveSuperResolution(**small | options)
    low_res = np.zeros((1, *low_size, model.channels))
    model((low_res, low_res.repeat(model.scale, 1).repeat(model.scale, 2)))
    # Biases start at zero, where a forgotten one would not be seen.
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        if variable.name == "bias":
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return model


def ask(model, low_size, batch=3):
    """Low-resolution images and seeds."""
    rng = np.random.default_rng(0)
    low_res = rng.integers(0, 256, (batch, *low_size, model.channels), dtype=np.uint8)
    return low_res, np.stack([np.full(batch, 5), np.arange(batch)], axis=1)


@functools.cache
def standard():
    """The model of most tests, 6x6 RGB, with a compiled sampler, low_res and seeds."""
    model = make((3, 3))
    return model, cached.Sampler(model), *ask(model, (3, 3))


def some_given():
    """Values to keep in three 6x6 images, in the middle of rows and of pixels, and below."""
    rng = np.random.default_rng(1)
    given = rng.integers(0, 256, (3, 6, 6, 3))
    given[0].reshape(-1)[50:] = -1  # from row 2, column 4, blue on
    given[1, 2:4] = -1
    given[2][rng.random(given[2].shape) < 0.5] = -1
    return given


@pytest.mark.parametrize(
    ("low_size", "jit_compile", "options"),
    [
        ((2, 2), True, {"scale": 4, "prior_width": 7, "prior_layers": 3, "dtype": "float64"}),
        ((3, 4), True, {"prior_layers": 1, "prior_width": 9, "prior_hidden": 11}),
        ((6, 7), False, {"scale": 1, "channels": 1, "dtype": "float64"}),
        ((3, 3), False, {"scale": 4, "channels": 1, "prior_width": 3, "prior_hidden": 4}),
        ((5, 1), False, {"scale": 1, "prior_width": 3, "prior_hidden": 3, "prior_layers": 4}),
    ],
)
def test_samples_equal_the_reference_s(low_size, jit_compile, options):
    model = make(low_size, **options)
    low_res, seeds = ask(model, low_size, batch=2)
    reference, sampler = naive.sampler(model), cached.Sampler(model, jit_compile)
    drawn = sampler(low_res, seeds, 1.0)
    assert drawn.dtype == np.uint8
    assert len(np.unique(drawn)) > 20
    np.testing.assert_array_equal(drawn, reference(low_res, seeds, 1.0))
    greedy = sampler(low_res, seeds, INFINITY)
    np.testing.assert_array_equal(greedy, reference(low_res, seeds, INFINITY))


def test_guided_and_continued_samples_equal_the_reference_s():
    """They are drawn whole or row by row."""
    model, sampler, low_res, seeds = standard()
    given = some_given()
    expected = naive.sampler(model)(low_res, seeds, 1.1, given, guidance=1.5)
    drawn = sampler(low_res, seeds, 1.1, given, guidance=1.5)
    np.testing.assert_array_equal(drawn, expected)
    np.testing.assert_array_equal(drawn[given >= 0], given[given >= 0])
    assert (drawn != sampler(low_res, seeds, 1.1, given))[given < 0].any()
    assert (drawn != sampler(low_res, seeds, 1.1, guidance=1.5))[given < 0].any()
    rows = list(sampler.rows(low_res, seeds, 1.1, given, 1.5))
    np.testing.assert_array_equal(np.stack(rows, axis=1), expected)
    alike = sampler(low_res, seeds, 1.1, np.stack([given[2]] * 3))
    np.testing.assert_array_equal(sampler(low_res, seeds, 1.1, given[2]), alike)


def test_a_sample_does_not_depend_on_its_batch_or_the_compiler(monkeypatch):
    """A sample is the same alone, in a batch, in one that two cores share, and compiled."""
    monkeypatch.setattr(cached.host, "cores", lambda: 2)
    model, sampler, _, _ = standard()
    low_res, seeds = ask(model, (3, 3), batch=32)
    plain = cached.Sampler(model, jit_compile=False)
    together = plain(low_res, seeds, 1.0)
    for count in (1, 16):
        drawn = plain(low_res[:count], seeds[:count], 1.0)
        np.testing.assert_array_equal(drawn, together[:count])
    np.testing.assert_array_equal(sampler(low_res[:3], seeds[:3], 1.0), together[:3])


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_devices_share_a_batch_and_draw_the_same_images(batch, monkeypatch):
    model, sampler, low_res, seeds = standard()
    used, device = [], tf.device
    monkeypatch.setattr(tf, "device", lambda name: used.append(name) or device(name))
    shared = cached.Sampler(model, jit_compile=batch == 2, devices=("CPU:0", "CPU:1"))
    drawn = shared(low_res[:batch], seeds[:batch], 1.0)
    assert [name for name in used if name in ("CPU:0", "CPU:1")] == ["CPU:0", "CPU:1"][:batch]
    np.testing.assert_array_equal(drawn, sampler(low_res[:3], seeds[:3], 1.0)[:batch])


def test_the_first_call_uses_what_warm_up_compiled(monkeypatch):
    """A call during the warm-up waits for it instead of compiling again."""
    model, sampler, low_res, seeds = standard()
    traces, draw = [], cached._draw_images

    def spied(*arguments):
        traces.append(threading.current_thread())
        return draw(*arguments)

    monkeypatch.setattr(cached, "_draw_images", spied)
    warmed = cached.Sampler(model)
    thread = threading.Thread(target=warmed.warm_up, args=[low_res.shape])
    thread.start()
    wait_for(lambda: traces)
    drawn = warmed(low_res, seeds, 1.0)
    assert traces == [thread]
    np.testing.assert_array_equal(drawn, sampler(low_res, seeds, 1.0))


def test_conditioning_is_computed_once_for_equal_inputs():
    model, sampler, low_res, seeds = standard()
    conditioning = mock.Mock(side_effect=model.conditioning)
    spied = types.SimpleNamespace(conditioning=conditioning, prior=model.prior, scale=model.scale)
    mixed = low_res[[2, 0, 2]]
    drawn = cached.Sampler(spied, jit_compile=False)(mixed, seeds, 1.0)
    ((asked,),) = (call.args for call in conditioning.call_args_list)
    assert len(asked.shape) == 4 and asked.shape[0] == 2
    np.testing.assert_array_equal(drawn, sampler(mixed, seeds, 1.0))


def forced_logits(model, low_res, seeds, high_res):
    """The fast sampler's logits of every sub-pixel, when it is forced along given images."""
    seen = []

    def spy(logits, tau, uniform):
        seen.append(logits)
        return noise.draw(logits, tau, uniform)

    prepared = cached.Sampler(model)._prepare(low_res, seeds, 1.0, high_res.astype(int), 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cached, "noise", types.SimpleNamespace(draw=spy))
        # Not compiled: loops are Python's, so the logits can be seen.
        drawn = cached._draw_images(*prepared, high_res.shape[1])
    np.testing.assert_array_equal(drawn, high_res)
    return np.reshape(np.stack(seen, axis=1), (*high_res.shape, 256))


def test_logits_along_a_given_image_are_those_of_one_pass():
    model, _, low_res, seeds = standard()
    high_res = np.random.default_rng(4).integers(0, 256, (3, 6, 6, 3), dtype=np.uint8)
    logits = forced_logits(model, low_res, seeds, high_res)
    np.testing.assert_allclose(logits, model((low_res, high_res)).joint, atol=2e-6)


def test_changed_weights_change_the_sample():
    """All weights are read at each call."""
    model = make((2, 2), seed=5)
    low_res, seeds = ask(model, (2, 2))
    sampler, reference = cached.Sampler(model, jit_compile=False), naive.sampler(model)
    before = [sampler(low_res, seeds, 1.0) for _ in range(2)][0]
    other = make((2, 2), seed=6)
    model.set_weights(other.get_weights())
    after = sampler(low_res, seeds, 1.0)
    assert (after != before).mean() > 0.5
    np.testing.assert_array_equal(after, reference(low_res, seeds, 1.0))


@pytest.mark.slow
def test_one_pass_draws_the_samples_of_table_2_again():
    """At full size, exceptions must be ties at float precision."""
    keras.utils.set_random_seed(0)
    model = PixelRecursiveSuperResolution()
    low_res, seeds = ask(model, (8, 8), batch=2)
    model((low_res, np.zeros((2, 32, 32, 3))))
    model.conditioning.recalibrate_batch_norm([low_res])
    drawn = cached.Sampler(model)(low_res, seeds, 1.0)
    assert len(np.unique(drawn)) > 100
    logits = forced_logits(model, low_res, seeds, drawn)
    expected, uniforms = model((low_res, drawn)).joint, noise.uniforms(seeds, (32, 32, 3))
    np.testing.assert_allclose(logits, expected, atol=1e-4)

    differs = drawn != noise.draw(expected, 1.0, uniforms).numpy()
    assert differs.mean() <= 0.001
    cumulative = np.cumsum(tf.nn.softmax(tf.cast(expected, tf.float64)), axis=-1)[differs]
    distances = np.abs(cumulative / uniforms.numpy()[differs][:, None] - 1)
    assert np.all(distances.min(axis=-1) < 1e-4)
