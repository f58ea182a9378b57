"""What version 0.2 wrote is read: `tests/fixtures/write_v0_2.py` says what, and with which code."""

import hashlib
import json
import shutil
import zipfile

import numpy as np
import pytest

import prsr
from prsr.hparams import ARCHITECTURES, DataHparams, Hparams, ModelHparams, TrainingHparams
from prsr.workdir import pretrained
from prsr.workdir.directory import Workdir
from tests.conftest import ROOT, call, succeed


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The folder that version 0.2 wrote."""
    folder = tmp_path_factory.mktemp("v0_2")
    with zipfile.ZipFile(ROOT / "tests" / "fixtures" / "v0_2.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def drawn(old):
    return dict(np.load(old / "drawn.npz"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_runs_have_the_same_settings_and_draw_the_same_images(old, drawn, architecture):
    run = old / "runs" / architecture
    assert Workdir(run).read_hparams() == Hparams(
        ModelHparams(architecture, 3, 4, 1, 3, "batch", 3, 1, 3),
        DataHparams("drawn:60", image_size=8),
        TrainingHparams(global_batch_size=4, train_steps=4, ema=0.9),
    )
    images = prsr.load(run).sample(drawn["low_res"], tau=float("inf"))
    np.testing.assert_array_equal(images, drawn[architecture])


@pytest.mark.parametrize(
    ("where", "key", "options"),
    [
        ("runs/pixel_recursive", "samples", {}),
        ("runs/pixel_recursive", "guided", {"guidance": 2.0}),
        ("runs/pixel_recursive", "matched", {"match_input": True}),
        ("export", "exported", {}),
        ("export", "matched", {"match_input": True}),
    ],
)
def test_runs_and_exports_draw_the_same_samples(old, drawn, where, key, options):
    samples = prsr.load(old / where).sample(drawn["low_res"], 2, seed=int(drawn["seed"]), **options)
    np.testing.assert_array_equal(samples, drawn[key])


def test_a_run_is_resumed_from_its_checkpoint(old, tmp_path):
    run = shutil.copytree(old / "runs" / "pixel_recursive", tmp_path / "run")
    options = ["--train_steps=6", "--log_every=1", "--eval_every=4", "--eval_images=3"]
    result = succeed(call("train", f"--workdir={run}", *options, "--sample_images=0"))
    assert "resuming from step 4" in result.stderr

    def scores(path):
        for line in map(json.loads, path.read_text().splitlines()):
            yield {name: score for name, score in line.items() if "per_second" not in name}

    for now, then in zip(scores(run / "metrics.jsonl"), scores(old / "continued.jsonl")):
        assert {name: now[name] for name in then} == pytest.approx(then, rel=1e-4)


def test_an_evaluation_is_read_and_not_drawn_again(old):
    images = sorted((old / "evaluation" / "images").glob("*/*.npy"))
    before = [path.stat().st_mtime_ns for path in images]
    baselines = f"bicubic,nn,{old}/runs/regression,{old}/runs/cross_entropy"
    options = [f"--output={old}/evaluation", f"--baselines={baselines}", "--tau=1.1,inf"]
    options += ["--samplings=1.2:2", "--match_input", "--num_images=4"]
    result = succeed(call("evaluate", f"--workdir={old}/runs/pixel_recursive", *options))
    assert len(images) == 17 and "| Cross-entropy, mean, matched |" in result.stdout
    assert sorted((old / "evaluation" / "images").glob("*/*.npy")) == images
    assert [path.stat().st_mtime_ns for path in images] == before


def test_bundled_weights_load_bit_for_bit():
    _, model = pretrained.workdir("faces").load_model()
    content = b"".join(variable.numpy().tobytes() for variable in model.variables)
    assert hashlib.sha256(content).hexdigest() == (
        "dc71e0366fef8881d73721432a89f12b74781251624ac95ecc7e17e2c8bacbc9"
    )
