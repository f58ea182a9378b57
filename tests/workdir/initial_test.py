"""Runs that start from a model's weights."""

import numpy as np
import pytest

from prsr.models import RMSProp
from prsr.models.build import build_model
from prsr.system.errors import UserError
from prsr.workdir import initial
from prsr.workdir.directory import Workdir
from tests.conftest import TINY, assert_one_line, call, succeed

# What a run on other images would be given: nothing about the model.
OWN = [
    flag for flag in TINY if not flag.startswith(("--prior", "--blocks", "--conditioning_width"))
]
STILL = [*OWN, "--learning_rate=1e-30", "--train_steps=1", "--sample_images=0", "--ema=0"]


@pytest.mark.parametrize("kind", ["run", "file", "file saved after fit"])
def test_weights_load_from_a_run_or_its_file(tiny_run, tmp_path, kind):
    """What `save_weights` writes after `fit` also holds the optimizer's arrays."""
    hparams, expected = Workdir(tiny_run).load_model()
    model = build_model(hparams)
    where = tiny_run if kind == "run" else tiny_run / "model.weights.h5"
    if kind == "file saved after fit":
        where = tmp_path / "x.weights.h5"
        expected.compile(optimizer=RMSProp(), run_eagerly=True)
        expected.fit(np.zeros((4, 2, 2, 3)), np.zeros((4, 8, 8, 3)), verbose=0)
        expected.save_weights(where)
    initial.load(str(where), model)
    for mine, theirs in zip(model.variables, expected.variables):
        np.testing.assert_array_equal(mine, theirs)
    settings = vars(hparams.model) if kind == "run" else {}
    assert initial.model_settings(str(where)) == settings


def test_a_path_without_a_model_is_refused():
    with pytest.raises(UserError, match="run directory.*faces.*runs/none"):
        initial.model_settings("runs/none")


def test_a_run_begins_with_the_weights_and_resumes_its_own(tiny_run, tmp_path):
    begin = [f"--workdir={tmp_path}", f"--initial_weights={tiny_run}"]
    succeed(call("train", *begin, *STILL))
    hparams, model = Workdir(tmp_path).load_model()
    before, expected = Workdir(tiny_run).load_model()
    assert hparams.model == before.model and hparams.training.initial_weights == str(tiny_run)
    assert hparams.training.rms_start == initial.RMS_START
    for mine, theirs in zip(model.trainable_variables, expected.trainable_variables):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-20)
    # Trained on, and continued: not begun again.
    succeed(call("train", *begin, *STILL, "--learning_rate=1e-3", "--train_steps=3"))
    trained = Workdir(tmp_path).load_model()[1].trainable_variables
    succeed(call("train", f"--workdir={tmp_path}", *STILL, "--train_steps=4"))
    _, model = Workdir(tmp_path).load_model()
    for mine, theirs in zip(model.trainable_variables, trained):
        np.testing.assert_allclose(mine, theirs, rtol=0.1, atol=0.01)
    pairs = zip(model.trainable_variables, expected.trainable_variables)
    assert max(np.abs(mine.numpy() - theirs.numpy()).max() for mine, theirs in pairs) > 1e-4


def test_a_model_of_another_size_takes_the_layers_that_fit(tiny_run, tmp_path):
    """Layers that both models have keep their weights; new residual blocks change nothing."""
    flags = [f"--initial_weights={tiny_run}", "--blocks_per_stage=2", "--prior_layers=2"]
    result = succeed(call("train", f"--workdir={tmp_path / 'w'}", *flags, *STILL))
    (line,) = [line for line in result.stdout.splitlines() if "start afresh" in line]
    for name in ("A stage 1 block 2", "A stage 3 block 2", "B gated layer 2"):
        assert name in line
    assert "block 1" not in line and "logits" not in line
    _, larger = Workdir(tmp_path / "w").load_model()
    _, model = Workdir(tiny_run).load_model()
    low_res = np.random.default_rng(0).integers(0, 256, (2, 2, 2, 3))
    for net in (larger, model):
        net.recalibrate_batch_norm([low_res])
    np.testing.assert_allclose(larger.conditioning(low_res), model.conditioning(low_res), atol=1e-4)


def test_a_model_of_which_nothing_fits_is_refused(tiny_run, tmp_path):
    """A run whose widths all differ is refused, and a file that does not fit entirely."""
    begin = [f"--workdir={tmp_path / 'w'}", *OWN, "--train_steps=1"]
    sizes = ["--prior_width=8", "--prior_hidden=9", "--conditioning_width=5"]
    sizes.append(f"--initial_weights={tiny_run}")
    assert_one_line(call("train", *begin, *sizes), "initial_weights")
    begin[0] = f"--workdir={tmp_path / 'v'}"
    file = [f"--initial_weights={tiny_run / 'model.weights.h5'}", "--prior_width=8"]
    assert_one_line(call("train", *begin, *file), "model.weights.h5", "does not hold")
