"""python -m prsr.corners, on drawn letters."""

import json

import numpy as np
import pytest
from PIL import Image

from prsr.evaluation.mnist_corners import count
from tests.conftest import TINY, assert_one_line, call, succeed

ARGUMENTS = [*TINY, "--image_size=16", "--scale=1", "--channels=1", "--sample_images=0"]


@pytest.fixture(scope="module")
def corners(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("corners")
    arguments = (f"--workdir={workdir}", *ARGUMENTS, "--pairs=corners", "--train_steps=3")
    result = succeed(call("corners", *arguments, "--num_images=2", "--classifier_epochs=1"))
    return workdir, result.stdout


def test_the_command_writes_three_models_a_table_and_figure_2(corners):
    workdir, stdout = corners
    for kind in ("pixel_recursive", "regression", "cross_entropy"):
        settings = json.loads((workdir / kind / "settings.json").read_text())
        assert settings["hparams"]["model"]["architecture"] == kind
        assert (workdir / kind / "model.weights.h5").is_file()
    rows = json.loads((workdir / "corners.json").read_text())
    assert [row["title"] for row in rows][-2:] == ["PixelCNN", "original"]
    assert rows[-1]["exactly_one"]["mean"] == 1.0
    assert (workdir / "corners.md").read_text() in stdout
    arrays = np.load(workdir / "corners.npz")
    digits = arrays["input"][:, 4:12, 4:12]
    found = count(arrays["PixelCNN"], digits)
    assert rows[-2]["exactly_one"]["mean"] == found["exactly_one"].mean()
    assert Image.open(workdir / "figure2.png").width > 800
    assert (workdir / "figure2.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_corner_runs_suit_figures_but_not_evaluate(corners, tmp_path):
    """Figure 2 can be drawn again from the runs; Table 1 is refused."""
    workdir, _ = corners
    run_directory = f"--workdir={workdir / 'pixel_recursive'}"
    baselines = f"--baselines={workdir / 'regression'},{workdir / 'cross_entropy'}"
    succeed(call("figures", run_directory, baselines, f"--output={tmp_path}", "--num_images=2"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure2.pdf", "figure2.png"]
    assert_one_line(call("evaluate", run_directory), "prsr.corners")


def test_pairs_other_than_corners_are_refused(tmp_path):
    assert_one_line(call("corners", f"--workdir={tmp_path}", *ARGUMENTS), "--pairs")
