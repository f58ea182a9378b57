"""Run directories of earlier versions are loaded, continued and evaluated."""

import json
import shutil

import numpy as np
import pytest

import prsr
from prsr.workdir.directory import Workdir
from tests.conftest import call, succeed
from tests.runs import steps_logged, weights

# Written by hand, as version 0.1 wrote it: the architecture is called "model", and training has
# no learning_rate_factor. The sizes are those of the tests' small runs.
VERSION_0_1 = """{
  "prsr": "0.1.0",
  "hparams": {
    "model": {
      "model": "ARCHITECTURE", "channels": 3, "scale": 4, "blocks_per_stage": 1,
      "conditioning_width": 4, "normalization": "batch", "prior_width": 6, "prior_layers": 1,
      "prior_hidden": 6
    },
    "data": {
      "dataset": "drawn:60", "image_size": 8, "crop": "center", "downsampling": "antialiased",
      "split": "auto", "pairs": "downsampled", "levels": 256, "mirror": false
    },
    "training": {
      "rho": 0.95, "momentum": 0.9, "epsilon": 1e-08, "rms_start": 1.0, "global_batch_size": 4,
      "conditioning_weight": 1.0, "train_steps": STEPS, "learning_rate": 0.0004,
      "halve_every": 500000, "clip_norm": 0.0, "ema": 0.0, "mixed_precision": false,
      "jit_compile": false, "seed": 1
    }
  }
}
"""


def of_version_0_1(run, architecture, steps, folder):
    """A copy of a run of today, with the settings of then."""
    shutil.copytree(run, folder)
    text = VERSION_0_1.replace("ARCHITECTURE", architecture).replace("STEPS", str(steps))
    (folder / "settings.json").write_text(text)
    return folder


@pytest.fixture
def old(tiny_run, tmp_path):
    return of_version_0_1(tiny_run, "pixel_recursive", 6, tmp_path / "old")


@pytest.mark.slow
def test_settings_of_then_are_those_of_now(old, tiny_run):
    assert Workdir(old).read_hparams() == Workdir(tiny_run).read_hparams()


@pytest.mark.slow
def test_it_is_loaded(old, tiny_run):
    low_res = np.random.default_rng(0).integers(0, 256, (2, 2, 2, 3), dtype=np.uint8)
    samples = [prsr.load(run).sample(low_res, 2, seed=3) for run in (old, tiny_run)]
    np.testing.assert_array_equal(*samples)


@pytest.mark.slow
def test_it_is_continued_and_then_has_the_settings_of_now(old, tiny_run, tmp_path):
    new = shutil.copytree(tiny_run, tmp_path / "new")
    for run in (old, new):
        options = ["--train_steps=8", "--log_every=1", "--sample_images=0"]
        result = succeed(call("train", f"--workdir={run}", *options))
        assert "resuming from step 6" in result.stderr
    assert steps_logged(old) == list(range(1, 9))
    expected, actual = weights(new), weights(old)
    for key, value in expected.items():
        np.testing.assert_array_equal(actual[key], value, err_msg=key)
    assert json.loads((old / "settings.json").read_text()) == json.loads(
        (new / "settings.json").read_text()
    )


@pytest.mark.slow
def test_it_is_evaluated_beside_baselines_of_then(old, baseline_runs, tmp_path):
    baselines = [
        of_version_0_1(baseline_runs / kind, kind, 3, tmp_path / kind)
        for kind in ("regression", "cross_entropy")
    ]
    names = ",".join(str(run) for run in baselines)
    result = succeed(call("evaluate", f"--workdir={old}", f"--baselines={names}", "--tau=inf"))
    for title in ("Regression", "Cross-entropy, mean", "greedy"):
        assert f"| {title} |" in result.stdout
