"""python -m prsr.evaluate: the table, and the images that it is made of."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from prsr import images
from prsr.evaluation import metrics, tables
from prsr.hparams import Sampling
from prsr.sampling import samplers
from prsr.workdir.directory import Workdir
from tests.conftest import assert_one_line, call, succeed


@pytest.fixture(scope="module")
def evaluated(tiny_run, baseline_runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "evaluation"
    baselines = f"bicubic,nn,{baseline_runs / 'regression'},{baseline_runs / 'cross_entropy'}"
    arguments = [f"--workdir={tiny_run}", f"--baselines={baselines}", "--tau=1.0,inf"]
    arguments += [f"--output={folder}"]
    return folder, arguments, succeed(call("evaluate", *arguments)).stdout


def read(folder, key):
    return np.load(folder / "images" / key / "00000.npy")


def test_the_table(evaluated):
    folder, _, stdout = evaluated
    report = json.loads((folder / "table1.json").read_text())
    titles = [row["title"] for row in report["rows"]]
    diverse = [row["method"] for row in report["rows"] if "diversity" in row]
    assert diverse == ["cross_entropy_sample", "tau_1"]
    cross_entropy = [f"Cross-entropy, {way}" for way in ("mode", "mean", "sample")]
    assert titles == ["Bicubic", "NN", "Regression", *cross_entropy, "tau = 1", "greedy"]
    table = (folder / "table1.md").read_text()
    assert table in stdout and all(f"| {title} |" in table for title in titles)
    assert "A + B" in table and "± " in table and "diversity***" in table
    original = report["truth"]["joint"]
    nats = original["nats_per_image"]["mean"]
    assert original["bits_per_dim"]["mean"] == pytest.approx(nats / np.log(2) / 192)
    lines = list(csv.DictReader((folder / "table1.csv").open()))
    assert [line["method"] for line in lines] == [row["method"] for row in report["rows"]]
    assert float(lines[0]["psnr"]) == report["rows"][0]["psnr"]["mean"]


def test_the_images_that_were_measured_are_kept(evaluated):
    """Their metrics can be computed again from the directory alone."""
    folder, _, _ = evaluated
    report = json.loads((folder / "table1.json").read_text())
    names = json.loads((folder / "names.json").read_text())
    originals, bicubic = read(folder, "truth"), read(folder, "bicubic")
    assert len(originals) == len(names) == report["test_images"]
    np.testing.assert_array_equal(bicubic, images.upsample_bicubic(read(folder, "input"), 4))
    row = report["rows"][0]
    assert row["psnr"] == tables.summary(metrics.psnr(bicubic, originals))
    lines = list(csv.DictReader((folder / "scores.csv").open()))
    psnr = [float(line["psnr"]) for line in lines if line["method"] == "bicubic"]
    assert np.mean(psnr) == pytest.approx(row["psnr"]["mean"], rel=1e-4)
    assert Image.open(folder / "images" / "tau_1" / "first.png").size[0] > 100


def test_it_continues_where_it_was_interrupted(evaluated):
    """Files that are there are read, and those that are missing drawn, the same as before."""
    folder, arguments, stdout = evaluated
    path = folder / "images" / "tau_1" / "00000.npy"
    before = path.read_bytes()
    path.unlink()
    np.save(folder / "images" / "greedy" / "00000.npy", read(folder, "greedy") // 2)
    again = succeed(call("evaluate", *arguments))
    assert path.read_bytes() == before
    lines = {line.split("|")[1].strip(): line for line in stdout.splitlines() if "|" in line}
    assert lines["tau = 1"] in again.stdout
    assert lines["greedy"] not in again.stdout  # it was not drawn again
    # Images of another seed are not mixed with these.
    assert_one_line(call("evaluate", *arguments, "--seed=2"), "entropy_sample", "choose another")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tau=1.0,hot"], ["--tau", "1.0,hot"]),
        (["--samplings=1.0:2:3"], ["--samplings", "1.0:2:3"]),
        (["--baselines=bicubic,cubic"], ["'cubic'", "nn"]),
    ],
)
def test_bad_flags(tiny_run, arguments, words):
    assert_one_line(call("evaluate", f"--workdir={tiny_run}", *arguments), *words)


def test_rows_that_the_paper_does_not_have_stand_apart(tiny_run, tmp_path):
    arguments = [f"--output={tmp_path}", "--tau=1.1", "--baselines=bicubic", "--num_images=2"]
    arguments += ["--samplings=1.1:2,1.1", "--match_input"]
    result = succeed(call("evaluate", f"--workdir={tiny_run}", *arguments))
    table = [line.split("|")[1].strip() for line in result.stdout.splitlines() if "|" in line]
    assert table[2:] == [
        *("Bicubic", "tau = 1.1", "**not in the paper:**"),
        *("tau = 1.1, guidance 2, matched", "tau = 1.1, matched", "Bicubic, matched"),
    ]
    low_res = read(tmp_path, "input")
    sampler = samplers.Sampler(Workdir(tiny_run).load_model()[1])
    sampling = Sampling(1.1, 2.0, match_input=True)
    expected = samplers.draw_samples(sampler, low_res, 1, 1, sampling, 16)[:, 0]
    np.testing.assert_array_equal(read(tmp_path, "tau_1.1_guidance_2_matched"), expected)


def test_a_baseline_can_be_matched_but_not_guided(baseline_runs, tmp_path):
    """It has no A and B for guidance to weigh."""
    arguments = [f"--workdir={baseline_runs / 'cross_entropy'}", f"--output={tmp_path}"]
    arguments += ["--baselines=bicubic", "--num_images=2", "--match_input"]
    assert_one_line(call("evaluate", *arguments, "--samplings=1.1:2"), "guidance")
    succeed(call("evaluate", *arguments))
    rows = json.loads((tmp_path / "table1.json").read_text())["rows"]
    consistency = {row["title"]: row["consistency"]["mean"] for row in rows}
    for title in ("Bicubic", "Cross-entropy, sample"):
        assert consistency[f"{title}, matched"] < 0.2 * consistency[title]
