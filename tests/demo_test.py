"""python -m prsr.demo as its own process."""

import io
import json
import urllib.request

import numpy as np
import pytest
from PIL import Image

import prsr
from tests.conftest import assert_one_line, call, start
from tests.data.pictures import shows
from tests.runs import wait_for


def test_the_demo_draws_what_load_draws(tiny_run, baseline_runs):
    """A demo of a run and a regression offers test images and draws as `prsr.load` does."""
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
        wait_for(lambda: json.loads(ask(f"{place}?row=8"))["state"] == "done", process)
        answer = json.loads(ask(f"{place}?row=0"))
        assert list(answer["images"]) == ["input", "bicubic", "regression", "original"]
        assert list(answer["nats"]) == ["bicubic", "regression", "original", "samples"]
        grid = np.asarray(Image.open(io.BytesIO(ask(f"{place}/grid.png"))))
    finally:
        process.terminate()
    assert process.wait(60) == 0
    image = np.asarray(Image.open(io.BytesIO(example)))
    regression = prsr.load(baseline_runs / "regression").sample(image)[0]
    sample = prsr.load(tiny_run).sample(image, seed=4)[0]
    assert all(shows(grid, shown) for shown in (regression, sample, image))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workdir=BASE/regression"], ["regression", "pixel_recursive"]),
        (["--model=faces", "--regression=BASE/regression"], ["--regression", "sizes"]),
        (["--model=faces", "--port=1", "--host=192.0.2.1"], ["cannot listen", "host or port"]),
    ],
)
def test_invalid_flags_end_in_one_line(baseline_runs, arguments, words):
    arguments = [argument.replace("BASE", str(baseline_runs)) for argument in arguments]
    assert_one_line(call("demo", *arguments), *words)
