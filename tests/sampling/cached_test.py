import functools
import threading
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from prsr.models.pixel_recursive import PixelRecursiveSuperResolution
from prsr.sampling import cached, naive, noise
from tests.conftest import mirrored

INFINITY = float("inf")
pytestmark = pytest.mark.xla


def make(low_size, seed=3, **options):
    """A small untrained model."""
    keras.utils.set_random_seed(seed)
    small = {"scale": 2, "blocks_per_stage": 1, "conditioning_width": 8, "normalization": "none"}
    small |= {"prior_width": 8, "prior_layers": 2, "prior_hidden": 10}
    model = PixelRecursiveSuperResolution(**small | options)
    low_res = np.zeros((1, *low_size, model.channels))
    model(low_res, low_res.repeat(model.scale, 1).repeat(model.scale, 2))
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
    """The model of most tests, 6x6 RGB, with a sampler, low_res and seeds."""
    model = make((3, 3))
    return model, cached.sampler(model), *ask(model, (3, 3))


@pytest.mark.parametrize(
    ("low_size", "jit_compile", "options"),
    [
        ((2, 2), True, {"scale": 4, "prior_width": 7, "prior_layers": 3, "dtype": "float64"}),
        ((3, 4), True, {"prior_layers": 1, "prior_width": 9, "prior_hidden": 11}),
        ((7, 7), False, {"scale": 1, "channels": 1, "dtype": "float64"}),
        ((7, 7), False, {"scale": 4, "channels": 1, "prior_width": 3, "prior_hidden": 4}),
        ((5, 1), False, {"scale": 1, "prior_width": 3, "prior_hidden": 3, "prior_layers": 4}),
    ],
)
def test_it_draws_the_images_of_the_reference(low_size, jit_compile, options):
    model = make(low_size, **options)
    low_res, seeds = ask(model, low_size, batch=2)
    reference, sampler = naive.sampler(model), cached.sampler(model, jit_compile)
    drawn = sampler(low_res, seeds, 1.0)
    assert drawn.dtype == np.uint8
    assert len(np.unique(drawn)) > 20
    np.testing.assert_array_equal(drawn, reference(low_res, seeds, 1.0))
    greedy = sampler(low_res, seeds, INFINITY)
    np.testing.assert_array_equal(greedy, reference(low_res, seeds, INFINITY))


def test_one_pass_draws_the_finished_samples_again():
    model, sampler, low_res, seeds = standard()
    drawn = sampler(low_res, seeds, 1.1)
    again = noise.draw(model(low_res, drawn), 1.1, noise.uniforms(seeds, (6, 6, 3)))
    np.testing.assert_array_equal(drawn, again)


def test_a_sample_does_not_depend_on_its_batch():
    _, sampler, low_res, seeds = standard()
    together = sampler(low_res, seeds, 1.0)
    alone = [sampler(low_res[i : i + 1], seeds[i : i + 1], 1.0)[0] for i in range(3)]
    np.testing.assert_array_equal(together, alone)


def test_a_sample_does_not_depend_on_parallel_parts(monkeypatch):
    """Batches of 16 and 64 are drawn in parts, one a core."""
    monkeypatch.setattr(cached.host, "cores", lambda: 2)
    model, sampler, _, _ = standard()
    low_res, seeds = ask(model, (3, 3), batch=64)
    plain = cached.sampler(model, jit_compile=False)
    together = plain(low_res, seeds, 1.0)
    np.testing.assert_array_equal(plain(low_res[:16], seeds[:16], 1.0), together[:16])
    np.testing.assert_array_equal(sampler(low_res[:3], seeds[:3], 1.0), together[:3])


def test_a_part_for_each_core(monkeypatch):
    monkeypatch.setattr(cached.host, "cores", lambda: 4)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    assert [cached._parallel_parts(batch) for batch in (1, 15, 16, 17, 24, 64)] == [
        *(1, 1, 2, 1, 3, 4)
    ]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    assert cached._parallel_parts(64) == 1


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_devices_share_a_batch_and_draw_the_same_images(batch, jit_compile, monkeypatch):
    model, sampler, low_res, seeds = standard()
    used, device = [], tf.device
    monkeypatch.setattr(tf, "device", lambda name: used.append(name) or device(name))
    shared = cached.sampler(model, jit_compile, devices=("CPU:0", "CPU:1"))
    drawn = shared(low_res[:batch], seeds[:batch], 1.0)
    assert [name for name in used if name in ("CPU:0", "CPU:1")] == ["CPU:0", "CPU:1"][:batch]
    np.testing.assert_array_equal(drawn, sampler(low_res[:batch], seeds[:batch], 1.0))


@pytest.mark.parametrize("match_rows", [None, "antialiased"])
def test_what_is_compiled_ahead_is_what_the_first_call_needs(match_rows, monkeypatch):
    model, sampler, low_res, seeds = standard()
    traces, draw = [], cached._draw_image

    def spied(*arguments):
        traces.append(threading.current_thread())
        return draw(*arguments)

    monkeypatch.setattr(cached, "_draw_image", spied)
    ahead = cached.sampler(model, first=(low_res.shape, match_rows))
    drawn = ahead(low_res, seeds, 1.0, match_rows=match_rows)
    (thread,) = traces
    assert thread is not threading.main_thread()
    np.testing.assert_array_equal(drawn, sampler(low_res, seeds, 1.0, match_rows=match_rows))


def test_conditioning_is_computed_once_for_equal_inputs():
    model, sampler, low_res, seeds = standard()
    asked = []

    def conditioning(images):
        asked.append(images.shape[0])
        return model.conditioning(images)

    spied = types.SimpleNamespace(conditioning=conditioning, prior=model.prior, scale=model.scale)
    mixed = low_res[[2, 0, 2]]
    drawn = cached.sampler(spied, jit_compile=False)(mixed, seeds, 1.0)
    assert asked == [2]
    np.testing.assert_array_equal(drawn, sampler(mixed, seeds, 1.0))


def test_a_mirrored_model_draws_the_same():
    model, sampler, low_res, seeds = standard()
    with mirrored().scope():
        same = make((3, 3))
        drawn = cached.sampler(same, jit_compile=False)(low_res, seeds, 1.0)
    np.testing.assert_array_equal(drawn, sampler(low_res, seeds, 1.0))


def forced_logits(model, low_res, seeds, high_res):
    """The fast sampler's logits of every sub-pixel, when it is forced along given images."""
    seen = []

    def spy(logits, tau, uniform):
        seen.append(logits)
        return noise.draw(logits, tau, uniform)

    prepared = cached._prepare(model)(low_res, seeds, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cached, "noise", types.SimpleNamespace(draw=spy))
        # Not compiled: loops are Python's, and what passes can be seen.
        drawn = cached._draw_image(*prepared, tf.constant(high_res, tf.int32), tf.constant(1.0))
    np.testing.assert_array_equal(drawn, high_res)
    return np.reshape(np.stack(seen, axis=1), (*high_res.shape, 256))


def test_logits_along_a_given_image_are_those_of_one_pass():
    model, _, low_res, seeds = standard()
    high_res = np.random.default_rng(4).integers(0, 256, (3, 6, 6, 3), dtype=np.uint8)
    logits = forced_logits(model, low_res, seeds, high_res)
    np.testing.assert_allclose(logits, model(low_res, high_res), atol=2e-6)


def test_a_sample_does_not_depend_on_the_compiler():
    model, sampler, low_res, seeds = standard()
    plain = cached.sampler(model, jit_compile=False)
    np.testing.assert_array_equal(sampler(low_res, seeds, 1.0), plain(low_res, seeds, 1.0))


def test_rows_are_the_image():
    model, sampler, low_res, seeds = standard()
    rows = list(cached.row_sampler(model)(low_res, seeds, 1.0))
    assert len(rows) == 6
    np.testing.assert_array_equal(np.stack(rows, axis=1), sampler(low_res, seeds, 1.0))


def test_given_sub_pixels_are_kept():
    """Here and there, in the middle of rows and of pixels."""
    _, sampler, low_res, seeds = standard()
    rng = np.random.default_rng(1)
    given = rng.integers(0, 256, (3, 6, 6, 3))
    given[rng.random(given.shape) < 0.5] = -1
    drawn = sampler(low_res, seeds, 1.0, given)
    np.testing.assert_array_equal(drawn[given >= 0], given[given >= 0])
    assert (drawn != sampler(low_res, seeds, 1.0))[given < 0].any()


def test_a_sample_continues_as_it_was():
    model, sampler, low_res, seeds = standard()
    drawn = sampler(low_res, seeds, 1.0)
    given = drawn.astype(np.int32).reshape(3, -1)
    given[:, 50:] = -1  # row 2, column 4, blue
    given = given.reshape(drawn.shape)
    np.testing.assert_array_equal(sampler(low_res, seeds, 1.0, given), drawn)
    other = sampler(low_res, seeds + 100, 1.0, given)
    assert (other != drawn)[given < 0].mean() > 0.5
    row_sampler = cached.row_sampler(model, jit_compile=False)
    rows = list(row_sampler(low_res, seeds + 100, 1.0, given))
    np.testing.assert_array_equal(np.stack(rows, axis=1), other)


@pytest.mark.parametrize("match_rows", [None, "antialiased"])
def test_images_are_continued_as_by_the_reference(match_rows):
    model, sampler, low_res, seeds = standard()
    rng = np.random.default_rng(1)
    given = rng.integers(0, 256, (3, 6, 6, 3))
    given[0].reshape(-1)[50:] = -1  # from a sub-pixel on
    given[1, 2:4] = -1  # rows below are given, too
    given[2][rng.random(given[2].shape) < 0.5] = -1
    settings = {"given": given, "guidance": 0.5, "match_rows": match_rows}
    drawn = sampler(low_res, seeds, 1.1, **settings)
    np.testing.assert_array_equal(drawn, naive.sampler(model)(low_res, seeds, 1.1, **settings))
    np.testing.assert_array_equal(drawn[given >= 0], given[given >= 0])


def test_given_must_fit():
    _, sampler, low_res, seeds = standard()
    with pytest.raises(ValueError, match=r"\[3, 6, 6, 3\] and values in -1..255.*\[3, 6, 5, 3\]"):
        sampler(low_res, seeds, 1.0, np.zeros((3, 6, 5, 3)))
    with pytest.raises(ValueError, match=r"0..256"):
        sampler(low_res, seeds, 1.0, np.full((3, 6, 6, 3), 256) * np.eye(6)[..., None])


def test_changed_weights_change_the_sample():
    """Weights are read at each call, every one of them."""
    model = make((2, 2), seed=5)
    low_res, seeds = ask(model, (2, 2))
    sampler, reference = cached.sampler(model, jit_compile=False), naive.sampler(model)
    before = sampler(low_res, seeds, 1.0)
    other = make((2, 2), seed=6)
    model.set_weights(other.get_weights())
    after = sampler(low_res, seeds, 1.0)
    assert (after != before).mean() > 0.5
    np.testing.assert_array_equal(after, reference(low_res, seeds, 1.0))


@pytest.mark.slow
def test_one_pass_draws_the_samples_of_table_2_again():
    """At full size every exception must be a tie at float precision."""
    keras.utils.set_random_seed(0)
    model = PixelRecursiveSuperResolution()
    low_res, seeds = ask(model, (8, 8), batch=2)
    model(low_res, np.zeros((2, 32, 32, 3)))
    model.conditioning.recalibrate_batch_norm([low_res])
    drawn = cached.sampler(model)(low_res, seeds, 1.0)
    assert len(np.unique(drawn)) > 100
    logits = forced_logits(model, low_res, seeds, drawn)
    np.testing.assert_allclose(logits, model(low_res, drawn), atol=1e-4)

    logits, uniforms = model(low_res, drawn), noise.uniforms(seeds, (32, 32, 3))
    differs = drawn != noise.draw(logits, 1.0, uniforms).numpy()
    assert differs.mean() <= 0.001
    cumulative = np.cumsum(tf.nn.softmax(tf.cast(logits, tf.float64)), axis=-1)[differs]
    distances = np.abs(cumulative / uniforms.numpy()[differs][:, None] - 1)
    assert np.all(distances.min(axis=-1) < 1e-4)
