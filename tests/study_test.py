"""python -m prsr.study as its own process, from an evaluation to the report."""

import json
import shutil
import urllib.request

import numpy as np
import pytest

from prsr import files
from prsr.errors import UserError
from prsr.evaluation import metrics, results, table1
from prsr.evaluation.methods import Method
from prsr.evaluation.results import Evaluation
from prsr.human_study import preparation
from tests.conftest import assert_one_line, call, run, start


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """What prsr.evaluate leaves behind: 60 images, samples at one tau, and a baseline."""
    folder = tmp_path_factory.mktemp("evaluated")
    rng = np.random.default_rng(0)
    low_res = rng.integers(0, 256, (60, 2, 2, 3)).astype(np.uint8)
    high_res = rng.integers(0, 256, (60, 8, 8, 3)).astype(np.uint8)
    kept = Evaluation(folder, [f"{i}.png" for i in range(60)], low_res, high_res)
    rows = []
    for key, added in (("regression", 1), ("tau_1.2", 2)):

        def predict(low, added=added):
            return low.repeat(4, 1).repeat(4, 2) + np.uint8(added)

        method = Method(key, key, predict, {})
        scores = metrics.scores(kept.images(method), high_res, low_res, "antialiased")
        rows.append(table1.row(method, scores, (8, 8, 3), "bedrooms"))
    report = {"run": "runs/rooms", "test_images": 60, "rows": rows}
    with files.replacing(folder / "table1.json") as partial:
        partial.write_text(json.dumps(report))
    return folder


@pytest.fixture(scope="module")
def study(evaluated, tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study"
    result = run("study", "prepare", f"--study={path}", f"--evaluations={evaluated}", "--workers=1")
    assert result.returncode == 0, result.stderr
    assert "2 algorithms, 1 workers" in result.stdout
    return path


def test_what_is_prepared(study, evaluated):
    content = json.loads((study / "study.json").read_text())
    assert content["protocol"] == {
        "practice": 10, "pairs": 40, "golden": 5, "exposure_ms": 1000, "workers": 1,
    }  # fmt: skip
    assert [(a["method"], a["paper"]) for a in content["algorithms"]] == [
        ("regression", [2.1, 0.1]),
        ("tau_1.2", [27.9, 0.3]),
    ]
    from PIL import Image

    from prsr.baselines.bicubic import Bicubic

    truth = results.read_images(evaluated, "truth", 60)
    low_res = results.read_images(evaluated, "input", 60)
    sizes = set()
    for method, images in (("truth", truth), ("bicubic", Bicubic(4).predict(low_res))):
        for number in (0, 59):
            path = study / "images" / "rooms" / method / f"{number:05d}.png"
            sizes.add(path.stat().st_size)
            np.testing.assert_array_equal(np.asarray(Image.open(path)), images[number])
    assert len(sizes) == 1


def test_served_simulated_and_reported(study, tmp_path):
    result = call("study", "report", f"--study={study}")
    assert_one_line(result, "nobody has taken part yet")
    quick = tmp_path / "quick"  # the same, but nobody waits a second for each pair
    shutil.copytree(study, quick)
    text = (quick / "study.json").read_text()
    (quick / "study.json").write_text(text.replace('"exposure_ms": 1000', '"exposure_ms": 10'))
    output = tmp_path / "simulated"
    result = call("study", "simulate", f"--study={quick}", f"--output={output}", "--spread=0",
                 "--inattention=0", "--fooled=regression=0,tau_1.2=100")  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "**Simulated workers, not people.**" in result.stdout
    assert "| rooms | regression | 0.0 |  | 2.1 ± 0.1 | 1 | 0 | 0 |" in result.stdout
    assert "| rooms | tau_1.2 | 100.0 |  | 27.9 ± 0.3 | 1 | 0 | 0 |" in result.stdout
    assert "2 workers gave 110 answers" in result.stdout
    assert not (quick / "answers.db").exists()  # of people
    result = call("study", "report", f"--study={output}", "--figure_images=2")
    assert result.returncode == 0, result.stderr
    assert (output / "report" / "figure7_rooms.png").exists()
    table = (output / "report" / "table1_rooms.md").read_text()
    assert "% fooled" in table and "27.9 ± 0.3" in table and "Simulated" in table


def test_serving_prepares_what_is_not_there_yet(evaluated, tmp_path):
    study = f"--study={tmp_path / 'tried'}"
    server = start("study", "serve", study, f"--evaluations={evaluated}", "--port=0")
    try:
        lines = [server.stdout.readline() for _ in range(3)]
        assert "2 algorithms" in lines[0]
        url, admin = (line.split()[-1] for line in lines[1:])
        with urllib.request.urlopen(url) as page:
            assert b"/static/study.js" in page.read()
        assert admin == f"{url}admin#{(tmp_path / 'tried' / 'admin_token').read_text().strip()}"
        # A second server, at the same port.
        port = url.strip("/").split(":")[-1]
        assert_one_line(call("study", "serve", study, f"--port={port}"), "cannot listen", "--port")
    finally:
        server.terminate()
        _, stderr = server.communicate(timeout=30)
    assert server.returncode == 0 and stderr.startswith("stopped;"), stderr


def test_mistakes(study, evaluated, tmp_path):
    assert_one_line(call("study"), "expected one of prepare, serve, report, simulate")
    assert_one_line(call("study", "begin"), "got 'begin'")
    usage = call("study", "--help")
    assert usage.returncode == 0 and "prepare|serve|report|simulate" in usage.stdout
    assert_one_line(call("study", "serve", f"--study={tmp_path / 'new'}"), "no study there")
    assert_one_line(call("study", "serve", f"--study={study}", "--host=no.such.host.invalid"),
                    "cannot listen")  # fmt: skip
    result = call("study", "simulate", f"--study={study}", f"--output={tmp_path}")
    assert_one_line(result, "choose another directory")
    for evaluations, methods, num_images, words in (
        ([], [], 0, "--evaluations expects"),
        ([tmp_path], [], 0, "no finished evaluation"),
        ([evaluated, evaluated], [], 0, "'rooms' twice"),
        ([evaluated], ["nn"], 0, "choose from regression, tau_1.2 of .*, not 'nn'"),
        ([evaluated], ["regression"] * 2, 0, "each once"),
        ([evaluated], [], 54, "54 images, and a session shows 55"),
        ([f"../x={evaluated}"], [], 0, "letters, digits"),
    ):
        with pytest.raises(UserError, match=words):
            preparation.prepare(
                tmp_path / "b", [str(e) for e in evaluations], methods, num_images, "nearest", 1, 1
            )
    assert not (tmp_path / "b").exists()
