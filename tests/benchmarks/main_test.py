"""`python -m benchmarks`."""

import json

import pytest
from PIL import Image

from tests.conftest import assert_one_line, call, run, succeed


def test_quick_sampling_and_pipeline_write_a_report(tmp_path):
    out = tmp_path / "new" / "folder"
    arguments = ("--quick", "--parts=sampling,pipeline", "--batches=2", f"--output={out}")
    result = succeed(call("benchmarks", *arguments))
    assert "round 1 of 1" in result.stderr
    assert (out / "benchmark.md").read_text() in result.stdout
    results = json.loads((out / "benchmark.json").read_text())
    row = results["sampling"][0]
    assert row["batch"] == 2
    assert f"| 2 | **{row['speedup']:,.0f}** | {row['forward_passes']:.2f} |" in result.stdout
    assert results["agreement"] == {"agree": 384, "of": 384}
    assert results["pipeline"]["records_images_per_second"] > 0
    assert "training" not in results
    assert Image.open(out / "benchmark.png").width > 300


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--parts=sampling,speed", ("--parts", "growth", "speed")),
        ("--batches=", ("--batches", "''")),
        ("--prior_layers=0", ("gated layer",)),
        ("--image_size=10", ("scale", "10")),
        ("--output=/dev/null", ("/dev/null",)),
    ],
)
def test_a_wrong_flag_is_one_line(argument, words):
    assert_one_line(call("benchmarks", "--quick", argument), *words)


@pytest.mark.slow
def test_all_parts_write_their_results(tmp_path):
    result = succeed(run("benchmarks", "--quick", "--batches=1,16", f"--output={tmp_path}"))
    results = json.loads((tmp_path / "benchmark.json").read_text())
    assert [row["batch"] for row in results["sampling"]] == [1, 16]
    assert {"training", "pipeline", "growth", "cold"} < set(results)
    assert [row["devices"] for row in results["replicas"]] == [1, 2, 4]  # of a batch of four
    assert len(results["growth"]["depth"]) == 2
    assert "a step" in result.stdout
