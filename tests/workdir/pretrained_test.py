"""What comes with the package is what was shipped, is whole, and works."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image, ImageSequence

from prsr.data import image_sets, inputs, pipeline
from prsr.hparams import Sampling
from prsr.models import likelihood, losses
from prsr.system.errors import UserError
from prsr.workdir import pretrained
from tests.conftest import ROOT, assert_one_line, call, run, succeed
from tests.data.pictures import load, opened


def test_names_and_recommended_sampling():
    """For faces what was chosen on validation images; for bedrooms nothing was, so the paper's."""
    found = {name: pretrained.workdir(name).read_hparams().sampling for name in pretrained.names()}
    assert found == {"bedrooms": Sampling(), "faces": Sampling(1.2, 2.0, True)}


def test_the_bundled_photographs_need_no_search():
    """They have the model's own shape."""
    workdir = pretrained.workdir("faces")
    hparams = workdir.read_hparams()
    assert (hparams.data.image_size, hparams.model.scale, hparams.data.crop) == (32, 4, "celeba")
    examples = inputs.read_inputs(workdir.path / "examples", hparams)
    assert [example.name for example in examples] == ["eileen_collins", "grace_hopper"]
    assert all(e.low_res.shape == (8, 8, 3) and e.high_res.shape == (32, 32, 3) for e in examples)


def bits(model, low_res, high_res, name="joint"):
    nats = np.mean(model.scores(low_res, high_res)[name])
    return losses.bits_per_dim(nats, high_res.shape[1:])


@pytest.mark.parametrize(("name", "blocks", "parts"), [("faces", 6, 3), ("bedrooms", 10, 4)])
def test_a_bundled_model_knows_its_examples(name, blocks, parts):
    """It needs few bits per dimension, fewer than A alone, and more with another's input."""
    workdir = pretrained.workdir(name)
    hparams, model = workdir.load_model()
    assert hparams.model.blocks_per_stage == blocks
    history = [part["images"] for part in workdir.read_history()]
    assert len(history) == parts and history[:3] == [48_000, 562_800, 1_473_600]
    examples = inputs.read_inputs(workdir.path / "examples", hparams)
    low_res, high_res = map(np.stack, zip(*((e.low_res, e.high_res) for e in examples)))
    joint = bits(model, low_res, high_res)
    assert joint < 5 and joint < bits(model, low_res, high_res, "conditioning") - 0.5
    assert joint < bits(model, low_res[::-1], high_res) - 0.2


def test_images_of_the_official_zip_are_the_records(celeba):
    """An image and the record of the same number are equal, pixel for pixel."""
    workdir = pretrained.workdir("faces")
    hparams = workdir.read_hparams()
    data = dataclasses.replace(hparams.data, dataset=f"zip:{celeba / 'img_align_celeba.zip'}")
    source, _ = workdir.open_images(dataclasses.replace(hparams, data=data))
    recorded = opened(dataclasses.replace(data, dataset=f"records:{celeba / 'records'}"))
    for split, numbers in np.load(workdir.path / "images.npz").items():
        found, records = image_sets.load(source, data, split, 100), recorded.on_disk(split, data)
        places = [numbers.tolist().index(name[-10:-4].encode()) for name in found.names]
        assert len(places) == 100 and len(numbers) == len(records)
        np.testing.assert_array_equal(found.images, records.reader()(np.array(places)))


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the shipped files that a test may damage."""
    shutil.copytree(pretrained.workdir("faces").path, tmp_path / "faces")
    monkeypatch.setattr(pretrained, "_WEIGHTS", tmp_path)
    return tmp_path / "faces"


@pytest.mark.parametrize("name", ["model.weights.h5", "settings.json", "images.npz"])
def test_changed_files_are_refused(copy, name):
    assert pretrained.workdir("faces").path == copy
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        pretrained.workdir("faces")
    (copy / "SHA256SUMS").write_text("")  # checksums that cover nothing
    with pytest.raises(UserError, match="shipped"):
        pretrained.workdir("faces")
    for missing in ("SHA256SUMS", name):
        (copy / missing).unlink()
        with pytest.raises(UserError, match="SHA256SUMS"):
            pretrained.workdir("faces")


def test_sample_draws_a_bundled_example(tmp_path):
    """README's first command writes samples of one example."""
    out = tmp_path / "out"
    options = [f"--output={out}", "--num_images=1", "--num_samples=2", "--animate"]
    result = succeed(run("sample", "--model=faces", *options))
    assert "tau = 1.2, guidance 2, matched (recommended" in result.stdout
    example = sorted(pretrained.workdir("faces").path.glob("examples/*.jpg"))[0].stem
    names = {path.name for path in out.iterdir()}
    written = {f"{example}_{end}.png" for end in (1, 2, "rows")}
    assert names == written | {"grid.png", "nats.json"}
    with Image.open(out / f"{example}_rows.png") as animation:
        frames = [np.asarray(x.convert("RGB")) for x in ImageSequence.Iterator(animation)]
    assert len(frames) == 33 and (out / f"{example}_rows.png").stat().st_size < 1_500_000
    np.testing.assert_array_equal(frames[-1], Image.open(out / "grid.png"))
    sample = np.s_[28 : 28 + 128, 6 + 2 * 134 : 6 + 2 * 134 + 128]
    np.testing.assert_array_equal(frames[8][sample][:32], frames[-1][sample][:32])
    assert (frames[8][sample][32:] == 228).all()


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("sample", ["--output=OUT"], ["workdir", "model"]),
        ("sample", ["--model=faces", "--workdir=RUN", "--output=OUT"], ["workdir", "model"]),
        ("sample", ["--model=cats", "--output=OUT"], ["cats", "faces", "run directory"]),
        ("sample", ["--model="], ["model"]),
        ("sample", ["--model=faces", "--input="], ["empty path"]),
        ("sample", ["--workdir=RUN", "--input=OUT", "--align"], ["alignment", "faces"]),
        ("evaluate", ["--model=faces"], ["--output"]),
        ("figures", ["--model=faces", "--output=OUT"], ["--model=faces needs --dataset"]),
    ],
)
def test_invalid_flags_end_in_one_line(tiny_run, tmp_path, command, arguments, words):
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
def test_results_can_be_computed_again(celeba):
    """The originals' likelihoods need no draw."""
    hparams, model = pretrained.workdir("faces").load_model()
    data = dataclasses.replace(hparams.data, dataset=f"records:{celeba / 'records'}")
    found = results()
    count = found["data"]["test_images"]
    low_res, high_res = pipeline.evaluation_arrays(load(data, "test", limit=count), data, 4)
    for name, nats in likelihood.scores(model, low_res, high_res, 32).items():
        kept = found["truth"][name]["bits_per_dim"]
        bits_per_dim = losses.bits_per_dim(nats, (32, 32, 3))
        assert np.mean(bits_per_dim) == pytest.approx(kept["mean"], abs=1e-3)
        error = np.std(bits_per_dim, ddof=1) / np.sqrt(count)
        assert error == pytest.approx(kept["standard_error"], abs=1e-3)
