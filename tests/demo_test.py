"""python -m prsr.demo as its own process."""

import io
import json
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

import prsr
from tests.conftest import assert_one_line, call, start


def test_a_run_with_a_regression(tiny_run, baseline_runs):
    """Test images to begin with; what is drawn is what `prsr.load` draws."""
    process = start(
        "demo", f"--workdir={tiny_run}", f"--regression={baseline_runs / 'regression'}", "--port=0"
    )
    try:
        address = process.stdout.readline().split()[1]

        def ask(path, body=None):
            return urllib.request.urlopen(f"{address}api/run/{path}", body).read()

        assert json.loads(ask("about"))["examples"][:2] == ["test image 1", "test image 2"]
        example = ask("examples/0")
        query = "pictures?tau=1.1&guidance=0&match_input=false&num_samples=1&seed=4"
        place = "pictures/" + json.loads(ask(query, example))["id"]
        end = time.monotonic() + 60
        while (answer := json.loads(ask(f"{place}?row=0")))["state"] != "done":
            assert time.monotonic() < end
            time.sleep(0.05)
        assert list(answer["images"]) == ["input", "bicubic", "regression", "original"]
        assert list(answer["nats"]) == ["bicubic", "regression", "original", "samples"]
        grid = np.asarray(Image.open(io.BytesIO(ask(f"{place}/grid.png"))))
    finally:
        process.terminate()
    assert process.wait(60) == 0
    image = np.asarray(Image.open(io.BytesIO(example)))
    for column, expected in {
        2: prsr.load(baseline_runs / "regression").sample(image)[0],
        3: prsr.load(tiny_run).sample(image, seed=4)[0],
        4: image,
    }.items():
        left = 6 + column * (128 + 6)
        cell = grid[28 : 28 + 128, left : left + 128]
        np.testing.assert_array_equal(cell[8::16, 8::16], expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workdir=BASE/regression"], ["regression", "pixel_recursive"]),
        (["--model=faces", "--regression=BASE/regression"], ["--regression", "sizes"]),
        (["--model=faces", "--port=1", "--host=192.0.2.1"], ["cannot listen", "host or port"]),
    ],
)
def test_what_cannot_work_ends_in_one_line(baseline_runs, arguments, words):
    arguments = [argument.replace("BASE", str(baseline_runs)) for argument in arguments]
    assert_one_line(call("demo", *arguments), *words)
