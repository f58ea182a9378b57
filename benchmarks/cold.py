"""Times cold starts: a command until its picture, a sampler's first call, TensorFlow's import."""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

from benchmarks import sampling
from prsr.workdir.directory import Workdir

_INPUTS = 2  # images given to the command, as in the README; four samples of each
_GUIDED = ("--tau=1.2", "--guidance=2", "--match_input")

# What another program does: load a model and sample. Prints seconds as JSON.
_LOADS = """
import json, sys, time
begin = time.perf_counter()
import prsr
import numpy as np
model = prsr.load(sys.argv[1])
loaded = time.perf_counter()
calls = []
for batch in map(int, sys.argv[2].split(",")):
    low_res = np.random.default_rng(batch).integers(0, 256, model.low_shape, dtype=np.uint8)
    times = []
    for seed in range(4):
        start = time.perf_counter()
        model.sample(low_res, num_samples=batch, seed=seed)
        times.append(time.perf_counter() - start)
    calls.append(times)
print(json.dumps([loaded - begin, calls]))
"""


def compare(hparams, batches, num_rounds):
    """Times whole processes in turn: TensorFlow's import, `prsr.sample`, and `prsr.load`.

    Args:
        hparams: `prsr.hparams.Hparams` of the model, which is untrained.
        batches: list of the numbers of samples to draw, at most 16 each.
        num_rounds: how many times each process is timed.

    Returns:
        A dict of medians in seconds: `"import"`; `"picture"`, from the start of the command until
        it has written `grid.png` (two inputs, four samples of each); `"command"`, until it ends;
        `"load"`; and `"calls"`, a list of dicts with `"batch"`, `"first"` and `"later"`. Each
        process draws the batches in order, so only the first pays for the setup that all share.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        run = Workdir(folder / "run")
        run.path.mkdir()
        run.write_hparams(hparams)
        run.save_weights(sampling.build(hparams))
        inputs = folder / "inputs"
        inputs.mkdir()
        low_size = hparams.data.image_size // hparams.model.scale
        for k in range(_INPUTS):
            pixels = np.random.default_rng(k).integers(0, 256, (low_size, low_size, 3), np.uint8)
            Image.fromarray(pixels).save(inputs / f"{k}.png")
        contenders = {
            "import": ["-c", "import tensorflow"],
            "command": [
                *("-m", "prsr.sample", f"--workdir={run.path}", f"--input={inputs}"),
                *(f"--output={folder / 'samples'}", *_GUIDED),
            ],
            "load": ["-c", _LOADS, str(run.path), ",".join(map(str, batches))],
        }
        grid = folder / "samples" / "grid.png"
        times, loads = {name: [] for name in ("picture", *contenders)}, []
        for number in range(num_rounds):
            for name, arguments in contenders.items():
                begun, begin = time.time_ns(), time.perf_counter()
                done = _run(arguments)
                times[name].append(time.perf_counter() - begin)
                if name == "command":
                    times["picture"].append((grid.stat().st_mtime_ns - begun) / 1e9)
                if name == "load":
                    loads.append(json.loads(done))
            print(f"cold, round {number + 1} of {num_rounds}", file=sys.stderr)
    calls = np.array([calls for _, calls in loads])  # [rounds, batches, calls]
    return {
        **{name: float(np.median(times[name])) for name in ("import", "picture", "command")},
        "load": float(np.median([seconds for seconds, _ in loads])),
        "calls": [
            {
                "batch": batch,
                "first": float(np.median(calls[:, k, 0])),
                "later": float(np.median(calls[:, k, 1:])),
            }
            for k, batch in enumerate(batches)
        ],
    }


def _run(arguments):
    """Runs a Python process and returns its standard output; raises an error if it fails."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
