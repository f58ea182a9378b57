"""The SavedModel's signatures are the functions that they are made of."""

import numpy as np
import pytest
import tensorflow as tf

from prsr.hparams import Sampling
from prsr.sampling import noise, samplers, saved_model
from prsr.system.errors import UserError
from prsr.workdir.directory import Workdir


def inputs(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 2, 2, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def signatures(tiny_export):
    loaded = tf.saved_model.load(str(tiny_export / "1"))
    yield loaded.signatures
    del loaded  # which owns the variables


@pytest.fixture(scope="module")
def model(tiny_run):
    return Workdir(tiny_run).load_model()[1]


@pytest.mark.parametrize("shape", [(1, 1, 1), (8, 8, 3), (5, 3, 2)])
def test_seeds_are_those_of_the_sampler(shape):
    low_res = np.random.default_rng(1).integers(0, 256, (4, *shape), dtype=np.uint8)
    for seed in (0, 7, 2**31 - 1, -5):
        expected = np.stack([noise.image_seeds(image, seed, 5) for image in low_res])
        for k in range(5):
            given = tf.constant([[seed, k + 1]] * 4)
            np.testing.assert_array_equal(saved_model.content_seeds(low_res, given), expected[:, k])


def test_signatures_have_names_and_any_batch(signatures):
    names = {"sample", "greedy", "log_prob", "conditioning_logits", "inspect", "serving_default"}
    assert set(signatures) == names
    _, named = signatures["sample"].structured_input_signature
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in named.items()} == {
        "low_res": ([None, 2, 2, 3], tf.uint8),
        "tau": ([], tf.float32),
        "seed": ([None, 2], tf.int32),
        "guidance": ([], tf.float32),
        "match_input": ([], tf.string),
    }
    assert list(signatures["serving_default"].structured_outputs) == ["high_res"]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 19])
def test_samples_are_those_of_the_command_s_sampler(signatures, model, count):
    low_res, seed = inputs(count), np.stack([np.arange(count) % 3, np.arange(count) + 1], 1)
    seeds = [noise.image_seeds(x, s, n)[-1] for x, (s, n) in zip(low_res, seed)]
    for sampling in (Sampling(0.8), Sampling(0.8, 2.0, "end"), Sampling(0.8, 0.5, "rows")):
        expected = samplers.sampler(model)(low_res, np.stack(seeds), sampling)
        drawn = signatures["sample"](
            low_res=tf.constant(low_res),
            tau=tf.constant(0.8),
            seed=tf.constant(seed, tf.int32),
            guidance=tf.constant(sampling.guidance),
            match_input=tf.constant(sampling.match_input),
        )
        np.testing.assert_array_equal(drawn["high_res"], expected)


def test_greedy(signatures, model):
    low_res = inputs(3)
    expected = samplers.sampler(model)(low_res, np.zeros((3, 2)), Sampling(np.inf))
    drawn = signatures["greedy"](low_res=tf.constant(low_res))["high_res"]
    np.testing.assert_array_equal(drawn, expected)


def test_log_prob_and_conditioning_logits(signatures, model):
    low_res = inputs(3)
    high_res = np.random.default_rng(2).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    given = {"low_res": tf.constant(low_res), "high_res": tf.constant(high_res)}
    log_prob = signatures["log_prob"](**given)["log_prob"]
    np.testing.assert_allclose(log_prob, model.log_likelihood(low_res, high_res), rtol=1e-5)
    logits = signatures["conditioning_logits"](low_res=given["low_res"])["conditioning_logits"]
    np.testing.assert_allclose(logits, model.conditioning(low_res), atol=1e-4)


@pytest.mark.parametrize(
    ("tau", "seeds", "guidance", "match", "words"),
    [
        (0.0, 2, 0.0, "off", "tau must be"),
        (np.nan, 2, 0.0, "off", "tau must be"),
        (1.0, 1, 0.0, "off", "one seed per image"),
        (1.0, 2, -1.0, "off", "guidance must be"),
        (1.0, 2, np.inf, "off", "guidance must be"),
        (1.0, 2, 0.0, "on", "match_input must be one of off, end, rows"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(signatures, tau, seeds, guidance, match, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        signatures["sample"](
            low_res=tf.constant(inputs(2)),
            tau=tf.constant(tau, tf.float32),
            seed=tf.zeros((seeds, 2), tf.int32),
            guidance=tf.constant(guidance, tf.float32),
            match_input=tf.constant(match),
        )


def test_versions_are_numbered_and_what_was_left_half_written_is_not_one(tiny_run, tmp_path):
    hparams, model = Workdir(tiny_run).load_model()
    assert saved_model.export(hparams, model, tmp_path, jit_compile=False) == tmp_path / "1"
    (tmp_path / ".partial-2" / "variables").mkdir(parents=True)
    (tmp_path / ".partial-2" / "saved_model.pb").write_bytes(b"half")
    assert saved_model.versions(tmp_path) == [1]
    assert saved_model.export(hparams, model, tmp_path, jit_compile=False) == tmp_path / "2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]
    graphs = [tf.saved_model.load(str(tmp_path / name)) for name in "12"]
    low_res = tf.constant(inputs(3))
    greedy = [graph.signatures["greedy"](low_res=low_res)["high_res"] for graph in graphs]
    expected = samplers.sampler(model)(inputs(3), np.zeros((3, 2)), Sampling(np.inf))
    np.testing.assert_array_equal(greedy, [expected, expected])


def test_a_full_disk_leaves_nothing(tiny_run, tmp_path, monkeypatch):
    def full(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(UserError, match="could not write to .*No space"):
        saved_model.export(*Workdir(tiny_run).load_model(), tmp_path)
    assert not list(tmp_path.iterdir())
