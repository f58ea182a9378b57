"""Every command works in a folder with any legal name, as it does elsewhere."""

import contextlib
import shutil

import numpy as np
import pytest
from PIL import Image

import prsr
from prsr.pages import web
from tests import corners_test
from tests.conftest import TINY, call, succeed
from tests.runs import assert_same_weights


@contextlib.contextmanager
def served_at_once(*_, **__):
    yield "http://localhost/", lambda: None


@pytest.fixture
def odd(tmp_path):
    """A folder whose name has what patterns, lists, shells, URLs and lines give a meaning to."""
    folder = tmp_path / "a [b] {c} *? ' \" % = , ; # & \\ ü\u2028\x0b\nd"
    for split, count in {"train": 3, "val": 2, "test": 60}.items():
        (folder / "photos" / split).mkdir(parents=True)
        for i in range(count):
            image = Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8))
            image.save(folder / "photos" / split / f"{i}.png")
    return folder


def test_every_command_in_a_folder_with_an_odd_name(odd, tiny_run, baseline_runs, monkeypatch):
    """Runs resume to the same weights; lists of paths are split at the right commas."""

    def use(command, *arguments):
        return succeed(call(command, *arguments)).stdout

    monkeypatch.setattr(web, "listening", served_at_once)
    run, study, output = f"--workdir={odd / 'run'}", f"--study={odd / 'study'}", f"--output={odd}/"
    for steps in (3, 6):
        use("train", run, *TINY, f"--train_steps={steps}")
    assert_same_weights(tiny_run, odd / "run")
    use("prepare", f"--dataset=folder:{odd / 'photos'}", "--image_size=8", f"{output}records")
    photos = f"--dataset=records:{odd / 'records'}"
    shutil.copytree(baseline_runs / "regression", odd / "regression")
    use("sample", run, f"--input={odd / 'photos' / 'val'}", f"{output}samples")
    compared = [run, photos, f"--baselines=nn,{odd / 'regression'}"]
    use("evaluate", *compared, "--tau=1.1", f"{output}evaluation")
    use("figures", *compared, "--figures=1,6", "--num_images=1", f"{output}figures")
    use("export", run, f"{output}export")
    low_res = np.zeros((1, 2, 2, 3), np.uint8)
    expected = prsr.load(tiny_run).sample(low_res, seed=1)
    np.testing.assert_array_equal(prsr.load(odd / "export").sample(low_res, seed=1), expected)
    use("demo", run, photos, f"--regression={odd / 'regression'}")
    evaluations = f"--evaluations={odd / 'evaluation'},X={odd / 'evaluation'}"
    use("study", "prepare", study, evaluations, "--workers=1")
    use("study", "serve", study)
    use("study", "simulate", study, f"{output}simulated", "--fooled=regression=1,tau_1.1=9")


@pytest.mark.slow
def test_corners_in_a_folder_with_an_odd_name(odd):
    arguments = [f"--workdir={odd}", "--pairs=corners", "--train_steps=1", "--num_images=1"]
    succeed(call("corners", *corners_test.ARGUMENTS, *arguments, "--classifier_epochs=1"))
