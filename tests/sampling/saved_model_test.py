"""The SavedModel's signatures compute what the functions of the package compute."""

import dataclasses
import shutil

import numpy as np
import pytest
import tensorflow as tf

from prsr.hparams import Sampling
from prsr.sampling import noise, samplers, saved_model
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


def sample(signatures, low_res, seed, tau=1.0, guidance=0.0, match_input=False):
    return signatures["sample"](
        low_res=tf.constant(low_res),
        tau=tf.constant(tau, tf.float32),
        seed=tf.constant(seed, tf.int32),
        guidance=tf.constant(guidance, tf.float32),
        match_input=tf.constant(match_input),
    )["high_res"]


def test_signatures_have_names_and_any_batch(signatures):
    names = {"sample", "greedy", "log_prob", "conditioning_logits", "inspect", "serving_default"}
    assert set(signatures) == names
    _, named = signatures["sample"].structured_input_signature
    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in named.items()} == {
        "low_res": ([None, 2, 2, 3], tf.uint8),
        "tau": ([], tf.float32),
        "seed": ([None, 2], tf.int32),
        "guidance": ([], tf.float32),
        "match_input": ([], tf.bool),
    }
    assert list(signatures["serving_default"].structured_outputs) == ["high_res"]


@pytest.mark.parametrize("count", [1, 8, 19])
def test_samples_equal_the_command_s(signatures, model, count):
    low_res, seed = inputs(count), np.stack([np.arange(count) % 3, np.arange(count) + 1], 1)
    seeds = [noise.image_seeds(x, s, n)[-1] for x, (s, n) in zip(low_res, seed)]
    sampler = samplers.Sampler(model, jit_compile=False)
    for sampling in (Sampling(0.8), Sampling(0.8, 2.0, True)):
        drawn = sample(signatures, low_res, seed, *dataclasses.astuple(sampling))
        np.testing.assert_array_equal(drawn, sampler(low_res, np.stack(seeds), sampling))


def test_other_signatures_equal_the_model_s_methods(signatures, model):
    low_res = inputs(3)
    greedy = signatures["greedy"](low_res=tf.constant(low_res))["high_res"]
    sampler = samplers.Sampler(model, jit_compile=False)
    np.testing.assert_array_equal(greedy, sampler(low_res, np.zeros((3, 2)), Sampling(np.inf)))
    high_res = np.random.default_rng(2).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    pair = {"low_res": tf.constant(low_res), "high_res": tf.constant(high_res)}
    log_prob = signatures["log_prob"](**pair)["log_prob"]
    np.testing.assert_allclose(log_prob, model.log_likelihood(low_res, high_res), rtol=1e-5)
    logits = signatures["conditioning_logits"](low_res=pair["low_res"])["conditioning_logits"]
    np.testing.assert_allclose(logits, model.conditioning(low_res), atol=1e-4)


@pytest.mark.parametrize(
    ("tau", "seeds", "guidance", "words"),
    [
        (0.0, 2, 0.0, "tau must be"),
        (np.nan, 2, 0.0, "tau must be"),
        (1.0, 1, 0.0, "one seed per image"),
        (1.0, 2, -1.0, "guidance must be"),
        (1.0, 2, np.inf, "guidance must be"),
    ],
)
def test_arguments_out_of_range_are_rejected(signatures, tau, seeds, guidance, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        sample(signatures, inputs(2), np.zeros((seeds, 2)), tau, guidance)


@pytest.mark.parametrize("shape", [(2, 2, 3), (1, 4, 4, 3), (1, 2, 2, 1)])
def test_wrong_shapes_are_rejected(signatures, shape):
    """TensorFlow itself does not check shapes, and an image without a batch ended the process."""
    low_res, high_res = tf.zeros(shape, tf.uint8), tf.zeros((1, 8, 8, 3), tf.uint8)
    rejected = pytest.raises(tf.errors.InvalidArgumentError, match=r"expected shape \[\?,2,2,3\]")
    for name in ("greedy", "conditioning_logits"):
        with rejected:
            signatures[name](low_res=low_res)
    for name in ("log_prob", "inspect"):
        with rejected:
            signatures[name](low_res=low_res, high_res=high_res)
    with rejected:
        sample(signatures, low_res, np.zeros((shape[0], 2)))


def test_versions_are_numbered_and_a_partial_one_is_not_counted(tiny_run, tiny_export, tmp_path):
    hparams, model = Workdir(tiny_run).load_model()
    shutil.copytree(tiny_export / "1", tmp_path / "1")
    (tmp_path / ".partial-2").mkdir()
    (tmp_path / ".partial-2" / "saved_model.pb").write_bytes(b"half")
    assert saved_model.versions(tmp_path) == [1]
    assert saved_model.export(hparams, model, tmp_path, jit_compile=False) == tmp_path / "2"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".partial-2", "1", "2"]
    assert saved_model.Export(tmp_path).folder == tmp_path / "2"
    assert saved_model.Export(tmp_path / "1").hparams == hparams
