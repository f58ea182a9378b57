"""python -m prsr.study as its own process, from an evaluation to the report."""

import json
import shutil
import urllib.request

import numpy as np
import pytest

from prsr.evaluation import results
from tests.conftest import assert_one_line, call, run, start
from tests.pages.study import studies


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    return studies.evaluated(tmp_path_factory.mktemp("evaluated"))


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

    from prsr.evaluation.bicubic import Bicubic

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
            assert b"static/study.js" in page.read()
        assert admin == f"{url}admin#{(tmp_path / 'tried' / 'admin_token').read_text().strip()}"
        # A second server, at the same port.
        port = url.strip("/").split(":")[-1]
        assert_one_line(
            call("study", "serve", study, f"--port={port}"), "cannot listen", "another host or port"
        )
    finally:
        server.terminate()
        _, stderr = server.communicate(timeout=30)
    assert server.returncode == 0 and stderr.startswith("stopped;"), stderr


def test_mistakes(study, tmp_path):
    assert_one_line(call("study"), "expected one of prepare, serve, report, simulate")
    assert_one_line(call("study", "begin"), "got 'begin'")
    usage = call("study", "--help")
    assert usage.returncode == 0 and "prepare|serve|report|simulate" in usage.stdout
    assert_one_line(call("study", "serve", f"--study={tmp_path / 'new'}"), "no study there")
    assert_one_line(call("study", "serve", f"--study={study}", "--host=no.such.host.invalid"),
                    "cannot listen")  # fmt: skip
    result = call("study", "simulate", f"--study={study}", f"--output={tmp_path}")
    assert_one_line(result, "choose another directory")
