"""What comes with the package is what was shipped, is whole, and works."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from prsr import losses, pretrained, super_resolution
from prsr.errors import UserError
from tests.conftest import ROOT, assert_one_line, run


def test_names():
    assert pretrained.names() == ["faces"]


@pytest.fixture(scope="module")
def faces():
    """The model's settings, the model, and its examples."""
    workdir = pretrained.workdir("faces")
    hparams, model = workdir.load_model()
    return hparams, model, super_resolution.read_inputs(workdir.path / "examples", hparams)


def test_it_is_a_model_of_faces_from_8x8_to_32x32(faces):
    hparams, model, examples = faces
    assert (hparams.data.image_size, hparams.model.scale, hparams.data.crop) == (32, 4, "celeba")
    assert len(examples) >= 4
    assert all(e.low_res.shape == (8, 8, 3) and e.high_res.shape == (32, 32, 3) for e in examples)


def test_it_knows_faces(faces):
    """Of people whom it never saw; the sum is worth much more than A alone."""
    _, model, examples = faces
    low_res, high_res = (
        np.stack([getattr(e, n) for e in examples]) for n in ("low_res", "high_res")
    )
    nats = {name: np.mean(value) for name, value in model.scores(low_res, high_res).items()}
    joint, conditioning = (
        losses.bits_per_dim(nats[name], high_res.shape[1:]) for name in ("joint", "conditioning")
    )
    assert joint < 4 and joint < conditioning - 0.5
    shuffled = np.mean(model.scores(np.roll(low_res, 1, axis=0), high_res)["joint"])
    assert shuffled > nats["joint"] * 1.05  # it looks at its input


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the shipped files that a test may damage."""
    shutil.copytree(pretrained.workdir("faces").path, tmp_path / "faces")
    monkeypatch.setattr(pretrained, "_WEIGHTS", tmp_path)
    return tmp_path / "faces"


@pytest.mark.parametrize("name", ["model.weights.h5", "settings.json"])
def test_a_changed_byte_is_noticed(copy, name):
    assert pretrained.workdir("faces").path == copy
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}' is not the file that was shipped"):
        pretrained.workdir("faces")


@pytest.mark.parametrize("name", ["model.weights.h5", "SHA256SUMS"])
def test_a_missing_file_is_noticed(copy, name):
    (copy / name).unlink()
    with pytest.raises(UserError, match="incomplete"):
        pretrained.workdir("faces")


def test_checksums_that_cover_nothing_are_refused(copy):
    (copy / "SHA256SUMS").write_text("")
    with pytest.raises(UserError, match="incomplete"):
        pretrained.workdir("faces")


def test_the_package_contains_them(tmp_path):
    """As it is installed, not only in the repository."""
    pytest.importorskip("setuptools")
    built = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_py", f"--build-lib={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    folder = pretrained.workdir("faces").path
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    there = tmp_path / "prsr" / "weights" / "faces"
    assert files == {path.relative_to(there) for path in there.rglob("*") if path.is_file()}
    assert {"MODEL_CARD.md", "SHA256SUMS"} <= {file.name for file in files}


def test_sample_without_a_run_or_a_picture(tmp_path):
    """README's first command, of one example."""
    out = tmp_path / "out"
    result = run("sample", "--model=faces", f"--output={out}", "--num_images=1", "--num_samples=2")
    assert result.returncode == 0, result.stderr
    example = sorted(pretrained.workdir("faces").path.glob("examples/*.png"))[0].stem
    names = {path.name for path in out.iterdir()}
    assert names == {f"{example}_1.png", f"{example}_2.png", "grid.png", "nats.json"}


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("sample", ["--output=OUT"], ["workdir", "model"]),
        ("sample", ["--model=faces", "--workdir=RUN", "--output=OUT"], ["workdir", "model"]),
        ("sample", ["--model=cats", "--output=OUT"], ["cats", "faces", "--workdir"]),
        ("sample", ["--workdir=RUN", "--output=OUT", "--align"], ["--align", "faces"]),
        ("evaluate", ["--model=faces"], ["--output"]),
        ("figures", ["--model=faces"], ["--output"]),
    ],
)
def test_what_cannot_work_ends_in_one_line(tiny_run, tmp_path, command, arguments, words):
    places = {"OUT": tmp_path / "out", "RUN": tiny_run}
    for name, path in places.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
    assert_one_line(run(command, *arguments), *words)
