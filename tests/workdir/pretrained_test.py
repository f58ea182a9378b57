"""What comes with the package is what was shipped, is whole, and works."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from prsr.data import inputs, pipeline
from prsr.models import likelihood, losses
from prsr.system.errors import UserError
from prsr.workdir import pretrained
from tests.conftest import ROOT, assert_one_line, call, run
from tests.data.pictures import load


def test_names():
    assert pretrained.names() == ["bedrooms", "faces"]


def test_examples():
    """Pictures of the model's own shape, whose faces need no search."""
    workdir = pretrained.workdir("faces")
    hparams = workdir.read_hparams()
    assert (hparams.data.image_size, hparams.model.scale, hparams.data.crop) == (32, 4, "celeba")
    examples = inputs.read_inputs(workdir.path / "examples", hparams)
    assert [example.name for example in examples] == ["eileen_collins", "grace_hopper"]
    assert all(e.low_res.shape == (8, 8, 3) and e.high_res.shape == (32, 32, 3) for e in examples)


def test_bedrooms_know_their_examples():
    """The deeper bedroom model loads, and needs less than 5 bits/dim for rooms it never saw."""
    workdir = pretrained.workdir("bedrooms")
    hparams, model = workdir.load_model()
    assert hparams.model.blocks_per_stage == 10 and len(workdir.read_history()) == 4
    examples = inputs.read_inputs(workdir.path / "examples", hparams)
    low_res, high_res = (
        np.stack([getattr(e, name) for e in examples]) for name in ("low_res", "high_res")
    )
    joint = bits(model, low_res, high_res)
    assert joint < 5 and joint < bits(model, low_res[::-1], high_res) - 0.2


def bits(model, low_res, high_res, name="joint"):
    nats = np.mean(model.scores(low_res, high_res)[name])
    return losses.bits_per_dim(nats, high_res.shape[1:])


def test_it_knows_the_examples():
    workdir = pretrained.workdir("faces")
    hparams, model = workdir.load_model()
    examples = inputs.read_inputs(workdir.path / "examples", hparams)
    low_res, high_res = (
        np.stack([getattr(e, name) for e in examples]) for name in ("low_res", "high_res")
    )
    joint = bits(model, low_res, high_res)
    assert joint < bits(model, low_res, high_res, "conditioning") - 0.5
    assert joint < bits(model, low_res[::-1], high_res) - 0.2  # it looks at its input


def test_it_knows_people_whom_it_never_saw(celeba):
    hparams, model = pretrained.workdir("faces").load_model()
    data = dataclasses.replace(hparams.data, dataset=f"zip:{celeba / 'img_align_celeba.zip'}")
    test_set = load(data, "test", limit=16)
    low_res, high_res = pipeline.evaluation_arrays(test_set, data, 4)
    joint = bits(model, low_res, high_res)
    assert joint < 4 and joint < bits(model, low_res, high_res, "conditioning") - 0.5


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the shipped files that a test may damage."""
    shutil.copytree(pretrained.workdir("faces").path, tmp_path / "faces")
    monkeypatch.setattr(pretrained, "_WEIGHTS", tmp_path)
    return tmp_path / "faces"


@pytest.mark.parametrize("name", ["model.weights.h5", "settings.json"])
def test_changed_files_are_refused(copy, name):
    assert pretrained.workdir("faces").path == copy
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}' is not the file that was shipped"):
        pretrained.workdir("faces")
    (copy / "SHA256SUMS").write_text("")  # checksums that cover nothing
    with pytest.raises(UserError, match="not the file that was shipped"):
        pretrained.workdir("faces")
    for missing in ("SHA256SUMS", name):
        (copy / missing).unlink()
        with pytest.raises(UserError, match="incomplete|not the file"):
            pretrained.workdir("faces")


def test_sample_without_a_run_or_a_picture(tmp_path):
    """README's first command, of one example."""
    out = tmp_path / "out"
    result = run("sample", "--model=faces", f"--output={out}", "--num_images=1", "--num_samples=2")
    assert result.returncode == 0, result.stderr
    example = sorted(pretrained.workdir("faces").path.glob("examples/*.jpg"))[0].stem
    names = {path.name for path in out.iterdir()}
    assert names == {f"{example}_1.png", f"{example}_2.png", "grid.png", "nats.json"}


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("sample", ["--output=OUT"], ["workdir", "model"]),
        ("sample", ["--model=faces", "--workdir=RUN", "--output=OUT"], ["workdir", "model"]),
        (
            "sample",
            ["--model=cats", "--output=OUT"],
            ["cats", "faces", "run directory"],
        ),
        ("sample", ["--model="], ["model"]),
        ("sample", ["--model=faces", "--input="], ["an empty path"]),
        ("sample", ["--workdir=RUN", "--input=OUT", "--align"], ["alignment", "faces"]),
        ("evaluate", ["--model=faces"], ["--output"]),
        ("figures", ["--model=faces", "--output=OUT"], ["--model=faces needs --dataset"]),
    ],
)
def test_what_cannot_work_ends_in_one_line(tiny_run, tmp_path, command, arguments, words):
    places = {"OUT": tmp_path / "out", "RUN": tiny_run}
    for name, path in places.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
    assert_one_line(call(command, *arguments), *words)


def results():
    return json.loads((pretrained.workdir("faces").path / "results.json").read_text())


def test_results_belong_to_the_weights_and_equal_the_documents():
    folder, found = pretrained.workdir("faces").path, results()
    assert f"{found['weights_sha256']}  model.weights.h5" in (folder / "SHA256SUMS").read_text()
    page = (ROOT / "docs" / "results.md").read_text()
    table = page.partition("## Faces")[2].partition("![")[0]
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if " ± " in line}
    for row in found["methods"]:
        for name, value in row.items():
            if isinstance(value, dict):
                assert name in found["definitions"]
                shown = [float(n) for n in re.findall(r"[\d.]+", rows[row["title"]])]
                assert value["mean"] in shown and value["standard_error"] in shown
    assert len(found["methods"]) == 10 and found["command"].partition(" --")[2] in page


@pytest.mark.slow
def test_results_come_out_again(celeba):
    """Of the originals: the likelihood needs no draw."""
    hparams, model = pretrained.workdir("faces").load_model()
    data = dataclasses.replace(hparams.data, dataset=f"records:{celeba / 'records'}")
    low_res, high_res = pipeline.evaluation_arrays(load(data, "test"), data, 4)
    found = results()
    assert len(low_res) == found["data"]["test_images"] == 360
    for name, nats in likelihood.scores(model, low_res, high_res, 32).items():
        kept = found["truth"][name]["bits_per_dim"]
        bits_per_dim = losses.bits_per_dim(nats, (32, 32, 3))
        assert np.mean(bits_per_dim) == pytest.approx(kept["mean"], abs=1e-3)
        error = np.std(bits_per_dim, ddof=1) / np.sqrt(360)
        assert error == pytest.approx(kept["standard_error"], abs=1e-3)
