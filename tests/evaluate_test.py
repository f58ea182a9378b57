"""python -m prsr.evaluate: the table, and the images that were scored."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from prsr import images
from prsr.evaluation import metrics, tables
from prsr.hparams import Sampling
from prsr.sampling import projection, samplers
from prsr.workdir.directory import Workdir
from tests.conftest import assert_one_line, call, run


@pytest.fixture(scope="module")
def evaluated(tiny_run, baseline_runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "evaluation"
    baselines = f"bicubic,nn,{baseline_runs / 'regression'},{baseline_runs / 'cross_entropy'}"
    arguments = (f"--workdir={tiny_run}", f"--baselines={baselines}", "--tau=1.0,inf")
    arguments += (f"--output={folder}",)
    result = run("evaluate", *arguments)
    assert result.returncode == 0, result.stderr
    return folder, arguments, result.stdout


def test_the_table(evaluated):
    folder, _, stdout = evaluated
    report = json.loads((folder / "table1.json").read_text())
    titles = [row["title"] for row in report["rows"]]
    assert titles == [
        "Bicubic",
        "NN",
        "Regression",
        "Cross-entropy, mode",
        "Cross-entropy, mean",
        "Cross-entropy, sample",
        "tau = 1",
        "greedy",
    ]
    table = (folder / "table1.md").read_text()
    assert table in stdout and all(f"| {title} |" in table for title in titles)
    assert "A + B" in table and "± " in table
    truth = report["truth"]["joint"]
    nats = truth["nats_per_image"]["mean"]
    assert truth["bits_per_dim"]["mean"] == pytest.approx(nats / np.log(2) / 192)
    lines = list(csv.DictReader((folder / "table1.csv").open()))
    assert [line["method"] for line in lines] == [row["method"] for row in report["rows"]]
    assert float(lines[0]["psnr"]) == report["rows"][0]["psnr"]["mean"]


def test_diversity_is_of_several_samples_of_one_input(evaluated):
    """Drawn again, from the directory and the run."""
    folder, arguments, stdout = evaluated
    rows = {row["method"]: row for row in json.loads((folder / "table1.json").read_text())["rows"]}
    assert [key for key in rows if "diversity" in rows[key]] == [
        "cross_entropy_sample",
        "tau_1",
    ]
    run_directory = next(a for a in arguments if a.startswith("--workdir=")).split("=", 1)[1]
    _, model = Workdir(run_directory).load_model()
    low_res = np.load(folder / "images" / "input" / "00000.npy")[: metrics.DIVERSITY_INPUTS]
    samples = samplers.draw_samples(
        samplers.sampler(model), low_res, metrics.DIVERSITY_SAMPLES, 1, Sampling(1.0), 16
    )
    expected = tables.summary(metrics.diversity(samples))
    assert rows["tau_1"]["diversity"] == pytest.approx(expected)
    first = np.load(folder / "images" / "tau_1" / "00000.npy")[0]
    np.testing.assert_array_equal(samples[0, 0], first)
    assert "diversity***" in stdout and "\\*\\*\\* Root mean" in stdout


def test_the_images_that_were_scored_are_kept(evaluated):
    """Their scores can be computed again from the directory alone."""
    folder, _, _ = evaluated
    report = json.loads((folder / "table1.json").read_text())
    names = (folder / "names.txt").read_text().split()
    kept = {
        key: np.load(folder / "images" / key / "00000.npy") for key in ("input", "truth", "bicubic")
    }
    assert len(kept["truth"]) == len(names) == report["test_images"]
    np.testing.assert_array_equal(kept["bicubic"], images.upsample_bicubic(kept["input"], 4))
    bicubic = report["rows"][0]
    assert bicubic["psnr"] == tables.summary(metrics.psnr(kept["bicubic"], kept["truth"]))
    lines = list(csv.DictReader((folder / "scores.csv").open()))
    own = [float(line["psnr"]) for line in lines if line["method"] == "bicubic"]
    assert np.mean(own) == pytest.approx(bicubic["psnr"]["mean"], rel=1e-4)
    assert Image.open(folder / "images" / "tau_1" / "first.png").size[0] > 100


def test_it_goes_on_where_it_was_interrupted(evaluated):
    """Files that are there are read, and those that are missing drawn, the same as before."""
    folder, arguments, stdout = evaluated
    path = folder / "images" / "tau_1" / "00000.npy"
    before = path.read_bytes()
    path.unlink()
    marked = np.load(folder / "images" / "greedy" / "00000.npy") // 2
    np.save(folder / "images" / "greedy" / "00000.npy", marked)
    again = call("evaluate", *arguments)
    assert again.returncode == 0, again.stderr
    assert path.read_bytes() == before
    line = [line for line in stdout.splitlines() if line.startswith("| tau = 1 ")]
    assert line[0] in again.stdout
    old = [line for line in stdout.splitlines() if line.startswith("| greedy ")]
    assert old[0] not in again.stdout  # it was not drawn again


def test_images_of_other_settings_are_not_mixed(evaluated):
    _, arguments, _ = evaluated
    assert_one_line(call("evaluate", *arguments, "--seed=2"), "entropy_sample", "choose another")


def test_few_test_images_are_pointed_out(tiny_run, tmp_path):
    arguments = f"--workdir={tiny_run}", f"--output={tmp_path}", "--tau=inf", "--baselines=bicubic"
    few = call("evaluate", *arguments, "--num_images=3")
    assert few.returncode == 0 and "only 3 test images: expect large errors" in few.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tau=1.0,hot"], ["--tau", "1.0,hot"]),
        (["--baselines=bicubic,cubic"], ["'cubic'", "nn"]),
    ],
)
def test_bad_flags(tiny_run, arguments, words):
    assert_one_line(call("evaluate", f"--workdir={tiny_run}", *arguments), *words)


def test_a_baseline_can_be_sampled_from_and_evaluated(baseline_runs, tmp_path):
    run_directory = f"--workdir={baseline_runs / 'regression'}"
    result = call("sample", run_directory, f"--output={tmp_path}", "--num_samples=2")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "grid.png").exists() and not (tmp_path / "nats.json").exists()
    run_directory = f"--workdir={baseline_runs / 'cross_entropy'}"
    result = call("evaluate", run_directory, f"--output={tmp_path / 'table'}")
    assert result.returncode == 0, result.stderr
    assert "Cross-entropy, mean" in result.stdout


def test_rows_that_the_paper_does_not_have_stand_apart(tiny_run, baseline_runs, tmp_path):
    arguments = [f"--output={tmp_path}", "--tau=1.1", "--baselines=bicubic", "--num_images=2"]
    guided = ["--guidance=1.1:2", "--match_input=end"]
    result = call("evaluate", f"--workdir={tiny_run}", *arguments, *guided)
    assert result.returncode == 0, result.stderr
    table = [line.split("|")[1].strip() for line in result.stdout.splitlines() if "|" in line]
    assert table[2:] == [
        *("Bicubic", "tau = 1.1", "**not in the paper:**"),
        *("tau = 1.1, guidance 2, matched", "Bicubic, matched"),
    ]
    (low_res, high_res), matched = (
        [np.load(tmp_path / "images" / name / "00000.npy") for name in names]
        for names in (("input", "tau_1.1_guidance_2_matched"), ["bicubic_matched"])
    )
    expected = projection.match(images.upsample_bicubic(low_res, 4), low_res)
    np.testing.assert_array_equal(matched[0], expected)
    model = samplers.sampler(Workdir(tiny_run).load_model()[1])
    expected = samplers.draw_samples(model, low_res, 1, 1, Sampling(1.1, 2.0, "end"), 16)[:, 0]
    np.testing.assert_array_equal(high_res, expected)
    # A baseline has no A and B to weigh, but may be matched.
    arguments = [f"--workdir={baseline_runs / 'cross_entropy'}", *arguments]
    assert_one_line(call("evaluate", *arguments, *guided), "guidance weighs A against B")
    arguments[1] = f"--output={tmp_path / 'baseline'}"
    result = call("evaluate", *arguments, "--match_input=end")
    assert "| Cross-entropy, sample, matched |" in result.stdout
    rows = json.loads((tmp_path / "baseline" / "table1.json").read_text())["rows"]
    consistency = {row["title"]: row["consistency"]["mean"] for row in rows}
    for title in ("Bicubic", "Cross-entropy, sample"):
        assert consistency[f"{title}, matched"] < 0.2 * consistency[title]
