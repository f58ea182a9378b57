"""python -m prsr.evaluate and prsr.figures as their own processes, and Table 1 as data."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from prsr import images, tables
from prsr.data import image_sets, pipeline
from prsr.errors import UserError
from prsr.evaluation import methods, metrics, results, table1
from prsr.evaluation.methods import Method
from prsr.evaluation.results import Evaluation
from prsr.hparams import DataHparams
from prsr.sampling import samplers
from prsr.trained.workdir import Workdir
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
    low_res = np.load(folder / "images" / "input" / "00000.npy")[: methods.DIVERSITY_INPUTS]
    samples = samplers.draw_samples(
        samplers.sampler(model), low_res, methods.DIVERSITY_SAMPLES, 1, 1.0, 16
    )
    expected = tables.summary(metrics.diversity(samples))
    assert rows["tau_1"]["diversity"] == pytest.approx(expected)
    first = np.load(folder / "images" / "tau_1" / "00000.npy")[0]
    np.testing.assert_array_equal(samples[0, 0], first)
    assert "diversity***" in stdout and "\\*\\*\\* Root mean" in stdout


def test_diversity_is_of_the_first_inputs_of_many():
    asked = []

    def draw_samples(low_res, num_samples, bar):
        asked.append((low_res, num_samples))
        return np.zeros((len(low_res), num_samples, 8, 8, 3), np.uint8)

    low_res = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
    method = Method("m", "M", None, {}, draw_samples=draw_samples)
    assert len(table1.diversity(method, low_res)) == 32
    ((inputs, count),) = asked
    np.testing.assert_array_equal(inputs, low_res[:32])
    assert count == 6


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
    assert_one_line(call("evaluate", *arguments, "--seed=2"), "entropy_sample", "--output")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tau=1.0,hot"], ["--tau", "1.0,hot"]),
        (["--baselines=bicubic,cubic"], ["'cubic'", "nn"]),
    ],
)
def test_bad_flags(tiny_run, arguments, words):
    assert_one_line(call("evaluate", f"--workdir={tiny_run}", *arguments), *words)


def test_baselines_that_do_not_fit(tiny_run, tmp_path, baseline_runs):
    hparams = Workdir(tiny_run).read_hparams()

    def methods(run_directory):
        return methods.baseline_methods([str(run_directory)], hparams, 1, 1)

    with pytest.raises(UserError, match="no baseline"):
        methods(tiny_run)
    settings = json.loads((baseline_runs / "regression" / "settings.json").read_text())
    settings["hparams"]["data"]["crop"] = "celeba"
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match="--crop=celeba"):
        methods(tmp_path)
    assert [method.key for method in methods(baseline_runs / "regression")] == ["regression"]


def test_a_baseline_can_be_sampled_from_and_evaluated(baseline_runs, tmp_path):
    run_directory = f"--workdir={baseline_runs / 'regression'}"
    result = call("sample", run_directory, f"--output={tmp_path}", "--num_samples=2")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "grid.png").exists() and not (tmp_path / "nats.json").exists()
    run_directory = f"--workdir={baseline_runs / 'cross_entropy'}"
    result = call("evaluate", run_directory, f"--output={tmp_path / 'table'}")
    assert result.returncode == 0, result.stderr
    assert "Cross-entropy, mean" in result.stdout


def test_figures(tiny_run, baseline_runs, tmp_path):
    baselines = f"--baselines=bicubic,{baseline_runs / 'regression'}"
    arguments = [f"--workdir={tiny_run}", baselines, "--num_images=1", "--num_samples=2"]
    result = run("figures", *arguments, f"--output={tmp_path}")
    assert result.returncode == 0, result.stderr
    stems = ["figure1", "figure4", "figure5", "figure6", "temperature", "appendix"]
    for stem in stems:
        assert np.asarray(Image.open(tmp_path / f"{stem}.png")).std() > 10
        assert (tmp_path / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
    assert len(list(tmp_path.iterdir())) == 2 * len(stems)
    assert_one_line(call("figures", *arguments, "--figures=2"), "--figures=2", "appendix")


# Table 1 as data, without a model.


def keep(tmp_path, count=5, size=16):
    rng = np.random.default_rng(0)
    high_res = rng.integers(0, 256, (count, size, size, 3)).astype(np.uint8)
    low_res = np.asarray(images.downsample(high_res, 4))
    return Evaluation(tmp_path, [f"{i}" for i in range(count)], low_res, high_res)


def test_images_of_other_test_sets_are_not_mixed(tmp_path):
    keep(tmp_path, count=5)
    with pytest.raises(UserError, match="other weights, settings or test images"):
        keep(tmp_path, count=4)


def test_what_is_not_ours_stays(tmp_path):
    (tmp_path / "images" / "truth").mkdir(parents=True)
    (tmp_path / "images" / "truth" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="other weights, settings or test images"):
        keep(tmp_path)
    assert (tmp_path / "images" / "truth" / "mine.txt").exists()


def test_a_damaged_file_is_named(tmp_path):
    keep(tmp_path)
    path = tmp_path / "images" / "truth" / "00000.npy"
    for content in (b"", b"PK", path.read_bytes()[:200]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="00000.npy' is damaged"):
            keep(tmp_path)
    np.save(path, np.zeros((4, 16, 16, 3), np.uint8))
    with pytest.raises(UserError, match="does not hold 5"):
        keep(tmp_path)


def test_conflicts_are_found_before_anything_is_drawn(tmp_path):
    kept = keep(tmp_path)
    one, other = (Method("m", "M", None, {"weights_sha256": w}) for w in "ab")
    with pytest.raises(UserError, match="2 times"):
        kept.check([one, other])
    kept.check([one])
    with pytest.raises(UserError, match="other weights"):
        kept.check([other])


def test_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "CHUNK", 2)
    asked = []

    def predict(low_res):
        asked.append(len(low_res))
        return np.repeat(np.repeat(low_res, 4, 1), 4, 2)

    kept = keep(tmp_path)
    first = kept.images(Method("m", "M", predict, {}, chunk=2))
    assert asked == [2, 2, 1] and first.shape == (5, 16, 16, 3)
    np.testing.assert_array_equal(kept.images(Method("m", "M", None, {}, chunk=2)), first)
    kept.images(Method("all", "All", predict, {}, chunk=None))
    assert asked == [2, 2, 1, 5]
    scores = metrics.scores(first, kept.high_res, kept.low_res, "antialiased", block=2)
    assert set(scores) == {score.name for score in metrics.SCORES if score.function}
    np.testing.assert_array_equal(scores["psnr"], metrics.psnr(first, kept.high_res))


def test_scores_that_small_images_cannot_have_are_left_out():
    truth = np.zeros((2, 8, 8, 3), np.uint8)
    scores = metrics.scores(truth, truth, np.zeros((2, 2, 2, 3), np.uint8), "antialiased")
    assert set(scores) == {"psnr", "psnr_uint8_wrap", "consistency"}


def test_the_paper_s_row_stands_beside_ours(tmp_path):
    names = [score.name for score in metrics.SCORES if score.function]
    scores = {name: np.array([0.5, 0.7]) for name in names}
    methods = [Method("nn", "NN", None, {}), Method("greedy", "greedy", None, {})]
    rows = [table1.row(m, scores, (32, 32, 3), "bedrooms") for m in methods]
    table = table1.markdown({"rows": rows, "test_images": 2})
    nn = next(line for line in table.splitlines() if line.startswith("| NN"))
    assert nn == (
        "| NN | 0.60 ± 0.10 | 0.60 ± 0.10 | 28.15 | 0.600 ± 0.100 | 0.49 | 0.600 ± 0.100 | 0.45 "
        "| 0.60000 ± 0.10000 | 0.04 |"
    )
    assert "| greedy | 0.60 ± 0.10 | 0.60 ± 0.10 |  |" in table


def test_blocks_of_records_and_of_memory_are_the_same(tmp_path):
    from prsr.data import records

    data = DataHparams(dataset="drawn:40", image_size=16)
    pool = image_sets.load(data, 3, "train").images
    records.write(tmp_path / "train-00000.tfrecord", pool)
    streamed = DataHparams(dataset=f"records:{tmp_path}", image_size=16)
    for one, other in zip(
        pipeline.blocks(data, 3, 4, "train", 7)[0], pipeline.blocks(streamed, 3, 4, "train", 7)[0]
    ):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_array_equal(image_sets.load(streamed, 3, "train").images, pool)
