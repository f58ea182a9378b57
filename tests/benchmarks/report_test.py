"""The tables and the picture, of numbers that are made up."""

import json

import pytest
from PIL import Image

from benchmarks import report

HEAD = {
    "device": "CPU (x)", "cores": 2, "tensorflow": "2", "weights": 1234, "image_size": 8,
    "global_batch_size": 4,
}  # fmt: skip
SAMPLING = {
    "batch": 2, "speedup": 40.0, "forward_passes": 1.5, "fast_seconds": 0.1,
    "reference_seconds": 4.0, "first_call_seconds": 3.0, "matrix_gflops": 50.0,
    "forward_seconds": 0.05,
}  # fmt: skip
TRAINING = {
    "variant": "ours", "ours_relative": 1.0, "seconds": 2.0, "of_matrix_rate": 0.5,
    "peak_gib": None, "first_call_seconds": 9.0, "gflop": 100.0, "matrix_gflops": 100.0,
}  # fmt: skip
PARTS = {
    "sampling": {"sampling": [SAMPLING], "agreement": {"agree": 384, "of": 384}},
    "cold": {
        "cold": {
            "import": 2.0, "picture": 4.0, "command": 5.0, "load": 3.0,
            "calls": [{"batch": 8, "first": 2.5, "later": 0.25}],
        },
    },
    "training": {"training": [TRAINING]},
    "replicas": {
        "replicas": [{"devices": 2, "kind": "CPU", "seconds": 3.0, "relative": 1.25}],
    },
    "pipeline": {
        "pipeline": {
            "pipeline_images_per_second": 300.0, "training_images_per_second": 3.0,
            "waiting_share": 0.001, "records_images_per_second": 200.0,
        },
    },
    "growth": {"growth": {"image_size": [(8, 0.064), (16, 0.256)], "depth": [(1, 0.1), (2, 0.2)]}},
}  # fmt: skip


LINES = {
    "sampling": "| 2 | **40** | 1.50 | 50.0 ms | 2.0 s | 3.0 s |",
    "cold": "| then model.sample, 8 sample(s) | **1.25** | 2.50 s | 0.250 s |",
    "training": "| ours | **1.00** | 2.00 s | 50% | - | 9 s |",
    "replicas": "| 2 CPU | 3.00 s | **1.25** |",
    "pipeline": "gives 300 images/s; training takes 3.0 and waits 0.10% of the time",
    "growth": "| 16 | 256 ms | 1000 us |",
}


@pytest.mark.parametrize("part", PARTS)
def test_any_part_alone(part):
    text = report.markdown(HEAD | PARTS[part])
    assert text.startswith("CPU (x), 2 cores, TensorFlow 2, 1,234 weights, 8x8 images\n")
    assert LINES[part] in text
    assert all(line not in text for other, line in LINES.items() if other != part)


def test_what_is_written(tmp_path):
    results = HEAD | PARTS["sampling"] | PARTS["cold"] | PARTS["growth"]
    report.write(results, tmp_path / "new")
    assert (tmp_path / "new" / "benchmark.md").read_text() == report.markdown(results)
    saved = json.loads((tmp_path / "new" / "benchmark.json").read_text())
    assert saved["sampling"] == [SAMPLING]
    assert Image.open(tmp_path / "new" / "benchmark.png").width == 4 * 540
    report.write(HEAD, tmp_path / "nothing")
    assert not (tmp_path / "nothing" / "benchmark.png").exists()
