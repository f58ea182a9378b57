"""The models on Keras' other backends, in processes of their own."""

import dataclasses
import importlib.util

import keras
import numpy as np
import pytest

from prsr.data import pipeline, sources
from prsr.models import PixelRecursiveSuperResolution, RMSProp
from prsr.sampling import naive, noise
from prsr.system import backend
from prsr.system.errors import UserError
from prsr.workdir import pretrained
from tests import on_backend
from tests.conftest import DATA, python, shared
from tests.models.prior_test import before

BACKENDS = [
    pytest.param(
        name, marks=pytest.mark.skipif(not importlib.util.find_spec(name), reason=f"needs {name}")
    )
    for name in ("jax", "torch")
]
SEEDS = [[1, 2], [3, 4]]


def faces(count):
    """Test images of CelebA where it lies beside the project; else of the drawn letters."""
    hparams = pretrained.workdir("faces").read_hparams()
    records = DATA / "celeba" / "records"
    dataset = f"records:{records}" if records.is_dir() else "drawn:2000"
    data = dataclasses.replace(
        hparams.data, dataset=dataset, split="auto", crop="celeba" if records.is_dir() else "center"
    )
    source = sources.open_source(dataset, "auto", 3)
    _, *pairs = pipeline.test_pairs(source, dataclasses.replace(hparams, data=data), count)
    return pairs


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory):
    """A folder with what every backend is given, and what TensorFlow makes of it."""

    def make(folder):
        folder.mkdir()
        low_res, high_res = faces(64)
        uniforms = noise.uniforms(np.int32(SEEDS), (4, 4, 3))
        np.savez(folder / "given.npz", low_res=low_res, high_res=high_res, uniforms=uniforms)
        keras.utils.set_random_seed(1)
        model = PixelRecursiveSuperResolution(
            blocks_per_stage=1, conditioning_width=8, prior_width=9, prior_layers=1, prior_hidden=12
        )
        model.build((None, 2, 2, 3))
        model.compile(optimizer=RMSProp(2e-3))
        model.optimizer.build(model.trainable_variables)
        model.save(folder / "start.keras")
        np.savez(folder / "tensorflow.npz", **on_backend.findings(folder))

    return shared(tmp_path_factory, "backends", make)


@pytest.fixture(scope="module")
def found(on_tensorflow):
    return lambda name: dict(np.load(on_tensorflow / f"{name}.npz"))


@pytest.fixture(scope="module", params=BACKENDS)
def other(request, on_tensorflow, found):
    """What another backend finds."""
    python("tests/on_backend.py", on_tensorflow, KERAS_BACKEND=request.param)
    return found(request.param)


def test_log_likelihoods_agree(found, other):
    """Scores of the bundled weights agree within 1e-4 nats per sub-pixel."""
    nats = found("tensorflow")["nats"]
    assert len(nats) == 64 and np.std(nats) > 100
    np.testing.assert_allclose(other["nats"], nats, rtol=0, atol=1e-4 * 3072)


def test_fit_equals_tensorflow_s(found, other):
    """Losses agree over twenty steps, each validated with fresh statistics."""
    expected = found("tensorflow")
    names = [name for name in expected if name.startswith("history")]
    assert len(names) == 10
    for name in names:
        np.testing.assert_allclose(other[name], expected[name], rtol=1e-3, err_msg=name)
    for name in ("history/loss", "history/val_loss"):
        assert len(expected[name]) == 20 and other[name][-1] < 0.97 * other[name][0]


def test_gradients_prove_causality(other):
    shape = on_backend.SHAPE
    for position, seen in zip(np.ndindex(shape), other["seen"], strict=True):
        np.testing.assert_array_equal(seen, before(shape, position, reach=5), err_msg=str(position))


def test_the_reference_sampler_draws_the_same(found, other, on_tensorflow):
    """Samples are the same with Keras' operations alone and with TensorFlow's own."""
    drawn = found("tensorflow")["drawn"]
    np.testing.assert_array_equal(other["drawn"], drawn)
    model = keras.saving.load_model(on_tensorflow / "start.keras")
    low_res = np.load(on_tensorflow / "given.npz")["low_res"][:2, :1, :1]
    np.testing.assert_array_equal(naive.sampler(model)(low_res, SEEDS, on_backend.TAU), drawn)
    assert drawn.std() > 50


def test_a_trained_model_is_saved_and_loaded_alike(found, other):
    """A model trained and reloaded on another backend scores as on TensorFlow."""
    np.testing.assert_allclose(other["kept"], found("tensorflow")["kept"], rtol=1e-3)


def test_another_backend_is_refused_where_tensorflow_is_needed(monkeypatch):
    backend.require_tensorflow("this")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UserError, match="this .*TensorFlow.* jax"):
        backend.require_tensorflow("this")


NEEDY = """
import prsr
for code in ("prsr.load('faces')", "import prsr.data.pipeline", "import prsr.sampling.naive"):
    try:
        exec(code)
    except prsr.UserError as error:
        print(error)
"""


@pytest.mark.parametrize("name", BACKENDS)
def test_parts_that_need_tensorflow_say_so(name):
    lines = python("-c", NEEDY, KERAS_BACKEND=name).splitlines()
    for what, line in zip(("prsr.load", "prsr.data.pipeline", "sampling"), lines, strict=True):
        assert line.startswith(f"{what} needs TensorFlow as Keras' backend, not {name}: set ")
