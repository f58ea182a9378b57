"""python -m prsr.study, from an evaluation to the report."""

import json
import urllib.request

import numpy as np
import pytest
from PIL import Image

from prsr import images
from prsr.evaluation import metrics, results, table1
from prsr.evaluation.methods import Method
from prsr.evaluation.results import Evaluation
from tests.conftest import assert_one_line, call, start, succeed


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """What prsr.evaluate leaves behind: 60 images, samples at one tau, and a baseline."""
    folder = tmp_path_factory.mktemp("evaluated")
    rng = np.random.default_rng(0)
    low_res = rng.integers(0, 256, (60, 2, 2, 3), dtype=np.uint8)
    high_res = rng.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    kept = Evaluation(folder, [f"{i}.png" for i in range(60)], low_res, high_res)
    rows = []
    for key in ("regression", "tau_1.2"):
        method = Method(key, key, lambda low: low.repeat(4, 1).repeat(4, 2), {})
        scores = metrics.measure(kept.images(method), high_res, low_res, "antialiased")
        rows.append(table1.row(method, scores, (8, 8, 3), "bedrooms"))
    report = {"run": "runs/rooms", "test_images": 60, "rows": rows}
    (folder / "table1.json").write_text(json.dumps(report))
    return folder


@pytest.fixture(scope="module")
def study(evaluated, tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study"
    arguments = [f"--study={path}", f"--evaluations={evaluated}", "--workers=1"]
    result = succeed(call("study", "prepare", *arguments))
    assert "2 algorithms, 1 workers" in result.stdout
    return path


def test_a_study_is_prepared_from_an_evaluation(study, evaluated):
    content = json.loads((study / "study.json").read_text())
    assert content["protocol"] == {
        "practice": 10, "pairs": 40, "golden": 5, "exposure_ms": 1000, "workers": 1,
    }  # fmt: skip
    assert [(a["method"], a["paper"]) for a in content["algorithms"]] == [
        ("regression", [2.1, 0.1]),
        ("tau_1.2", [27.9, 0.3]),
    ]
    truth = results.read_images(evaluated, "truth", 60)
    bicubic = images.upsample_bicubic(results.read_images(evaluated, "input", 60), 4)
    paths = [study / "images" / "rooms" / method / "00059.png" for method in ("truth", "bicubic")]
    for path, expected in zip(paths, (truth, bicubic)):
        np.testing.assert_array_equal(Image.open(path), expected[59])
    assert paths[0].stat().st_size == paths[1].stat().st_size


def test_invalid_preparations_are_refused(evaluated, tmp_path):
    for evaluations, flags, words in (
        ("", "", "expected folders"),
        (tmp_path, "", "not hold a finished evaluation"),
        (f"{evaluated},{evaluated}", "", "two evaluations are called 'rooms'"),
        (evaluated, "--methods=nn", "not 'nn'"),
        (evaluated, "--methods=regression,regression", "each once"),
        (evaluated, "--num_images=54", "54 images, and a session shows 55"),
        (f"../x={evaluated}", "", "letters, digits"),
    ):
        arguments = [f"--study={tmp_path / 'b'}", f"--evaluations={evaluations}", *flags.split()]
        assert_one_line(call("study", "prepare", *arguments), words)
    assert not (tmp_path / "b").exists()


def test_a_study_is_simulated_and_reported(study, tmp_path):
    assert_one_line(call("study", "report", f"--study={study}"), "nobody")
    output = tmp_path / "simulated"
    arguments = [f"--output={output}", "--spread=0", "--inattention=0"]
    fooled = "--fooled=regression=0,tau_1.2=100"
    text = succeed(call("study", "simulate", f"--study={study}", *arguments, fooled)).stdout
    assert "**Simulated workers, not people.**" in text
    assert "| rooms | regression | 0.0 |  | 2.1 ± 0.1 | 1 | 0 | 0 |" in text
    assert "| rooms | tau_1.2 | 100.0 |  | 27.9 ± 0.3 | 1 | 0 | 0 |" in text
    assert "2 workers gave 110 answers" in text
    assert not (study / "answers.db").exists()  # only the copy has answers
    succeed(call("study", "report", f"--study={output}", "--figure_images=2"))
    assert (output / "report" / "figure7_rooms.png").exists()
    table = (output / "report" / "table1_rooms.md").read_text()
    assert "% fooled" in table and "27.9 ± 0.3" in table and "Simulated" in table


def test_serving_prepares_a_missing_study(evaluated, tmp_path):
    study = tmp_path / "tried"
    server = start("study", "serve", f"--study={study}", f"--evaluations={evaluated}", "--port=0")
    try:
        lines = [server.stdout.readline() for _ in range(3)]
        assert "2 algorithms" in lines[0]
        url, admin = (line.split()[-1] for line in lines[1:])
        with urllib.request.urlopen(url) as page:
            assert b"static/study.js" in page.read()
        assert admin == f"{url}admin#{(study / 'admin_token').read_text().strip()}"
    finally:
        server.terminate()
        _, stderr = server.communicate(timeout=30)
    assert server.returncode == 0 and stderr.startswith("stopped;"), stderr


def test_invalid_commands_end_in_one_line(study, tmp_path):
    assert_one_line(call("study"), "prepare, serve, report, simulate")
    assert_one_line(call("study", "begin"), "got 'begin'")
    assert_one_line(call("study", "serve", f"--study={tmp_path / 'new'}"), "no study there")
    result = call("study", "simulate", f"--study={study}", f"--output={tmp_path}")
    assert_one_line(result, "File exists", str(tmp_path))
