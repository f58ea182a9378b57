"""python -m prsr.evaluate: the table, and the images that it is made of."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from prsr import images
from prsr.data import sources
from prsr.evaluation import metrics, tables
from prsr.hparams import Sampling
from prsr.sampling import samplers
from prsr.workdir.directory import Workdir
from tests.conftest import assert_one_line, call, succeed
from tests.data.pictures import picture


@pytest.fixture(scope="module")
def evaluated(tiny_run, baseline_runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "evaluation"
    baselines = f"bicubic,nn,{baseline_runs / 'regression'},{baseline_runs / 'cross_entropy'}"
    arguments = [f"--workdir={tiny_run}", f"--baselines={baselines}", "--tau=1.0,inf"]
    arguments += [f"--output={folder}"]
    return folder, arguments, succeed(call("evaluate", *arguments)).stdout


def read(folder, key):
    return np.load(folder / "images" / key / "00000.npy")


def test_the_table_has_a_row_for_each_method(evaluated):
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


def test_measured_images_are_kept(evaluated):
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


def test_an_interrupted_evaluation_continues(evaluated):
    """Finished files are read, and missing ones drawn as before."""
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
def test_invalid_flags_end_in_one_line(tiny_run, arguments, words):
    assert_one_line(call("evaluate", f"--workdir={tiny_run}", *arguments), *words)


def test_rows_that_are_not_in_the_paper_come_last(tiny_run, tmp_path):
    arguments = [f"--output={tmp_path}", "--tau=1.1", "--baselines=bicubic", "--num_images=2"]
    arguments += ["--samplings=1.1:2,1.1", "--match_input"]
    result = succeed(call("evaluate", f"--workdir={tiny_run}", *arguments))
    table = [line.split("|")[1].strip() for line in result.stdout.splitlines() if "|" in line]
    assert table[2:8] == [
        *("Bicubic", "tau = 1.1", "**not in the paper:**"),
        *("tau = 1.1, guidance 2, matched", "tau = 1.1, matched", "Bicubic, matched"),
    ]
    low_res = read(tmp_path, "input")
    sampler = samplers.Sampler(Workdir(tiny_run).load_model()[1])
    sampling = Sampling(1.1, 2.0, match_input=True)
    expected = samplers.draw_samples(sampler, low_res, 1, 1, sampling, 16)[:, 0]
    np.testing.assert_array_equal(read(tmp_path, "tau_1.1_guidance_2_matched"), expected)


def test_errors_count_people_and_the_table_tells_the_training(tiny_run, tmp_path):
    """A file names the person in each image; an image that it does not name counts as one."""
    people, output = tmp_path / "people.txt", tmp_path / "out"
    arguments = [f"--workdir={tiny_run}", "--tau=inf", "--baselines=bicubic"]
    arguments += [f"--output={output}", f"--people={people}"]
    first, second, *others = sources.open_source("drawn:60", "auto", 3).splits["test"]
    for lines, word in (("somebody.png 1", first), ("a line of five words", "NAME PERSON")):
        people.write_text(lines)
        assert_one_line(call("evaluate", *arguments), "--people", word)
    people.write_text(f"{first}.jpg 7\n{second}.jpg 7\n")
    table = succeed(call("evaluate", *arguments)).stdout
    assert "independent people (1 in 2 images; any other" in table
    report = json.loads((output / "table1.json").read_text())
    scores = [float(line["psnr"]) for line in csv.DictReader((output / "scores.csv").open())]
    count = 2 + len(others)
    expected = tables.summary(scores[:count], [0, *range(count - 1)])
    assert report["rows"][0]["psnr"] == pytest.approx(expected, rel=1e-4)
    assert report["history"] == Workdir(tiny_run).read_history()
    assert "| program | prsr.train |" in table and "| images | 24 |" in table


@pytest.mark.parametrize("all_images", [False, True])
def test_a_bundled_model_is_evaluated_on_the_images_of_its_card(tmp_path, all_images):
    names = ["182641", "182752", "000002", "000003"]  # the first two are test images
    for name in names:
        picture(size=(178, 218)).save(tmp_path / f"{name}.jpg")
    arguments = ["--model=faces", f"--dataset=folder:{tmp_path}", f"--output={tmp_path / 'out'}"]
    result = call("evaluate", *arguments, "--baselines=no_run", *["--all_images"] * all_images)
    assert "no run in 'no_run'" in result.stderr  # before anything is drawn
    assert ("2 test images (2,648 missing)" in result.stderr) == (not all_images)


def test_a_baseline_can_be_matched_but_not_guided(baseline_runs, tmp_path):
    """Guidance weighs A against B, which a baseline lacks."""
    arguments = [f"--workdir={baseline_runs / 'cross_entropy'}", f"--output={tmp_path}"]
    arguments += ["--baselines=bicubic", "--num_images=2", "--match_input"]
    assert_one_line(call("evaluate", *arguments, "--samplings=1.1:2"), "guidance")
    succeed(call("evaluate", *arguments))
    rows = json.loads((tmp_path / "table1.json").read_text())["rows"]
    consistency = {row["title"]: row["consistency"]["mean"] for row in rows}
    for title in ("Bicubic", "Cross-entropy, sample"):
        assert consistency[f"{title}, matched"] < 0.2 * consistency[title]
