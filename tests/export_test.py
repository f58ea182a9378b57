"""python -m prsr.export as its own process, and what other programs make of its output."""

import numpy as np
import pytest
from PIL import Image

from tests.conftest import assert_one_line, call, python, succeed

# Another program: in a Python where this package is not to be had.
ELSEWHERE = """
import sys
sys.modules["prsr"] = None
import numpy as np
import tensorflow as tf

loaded = tf.saved_model.load(sys.argv[1])
low_res = tf.constant(np.load(sys.argv[2]))
seed = tf.constant([[5, 3]] * len(low_res))  # --seed=5, the third sample
drawn = loaded.signatures["sample"](low_res=low_res, tau=tf.constant(1.1), seed=seed,
    guidance=tf.constant(0.0), match_input=tf.constant(False))
np.save(sys.argv[3], drawn["high_res"])
log_prob = loaded.signatures["log_prob"](low_res=low_res, high_res=drawn["high_res"])
print(log_prob["log_prob"].numpy().tolist())
"""


def test_another_program_draws_what_the_command_draws(tiny_run, tiny_export, tmp_path):
    low_res = np.random.default_rng(4).integers(0, 256, (9, 2, 2, 3), dtype=np.uint8)
    np.save(tmp_path / "low_res.npy", low_res)
    (tmp_path / "in").mkdir()
    for i, image in enumerate(low_res):
        Image.fromarray(image).save(tmp_path / "in" / f"{i}.png")
    files = tiny_export / "1", tmp_path / "low_res.npy", tmp_path / "drawn.npy"
    python("-c", ELSEWHERE, *files, cwd=tmp_path)
    options = ["--seed=5", "--num_samples=3", "--tau=1.1", f"--output={tmp_path / 'out'}"]
    succeed(call("sample", f"--workdir={tiny_run}", f"--input={tmp_path / 'in'}", *options))
    expected = [Image.open(tmp_path / "out" / f"{i}_3.png") for i in range(9)]
    np.testing.assert_array_equal(np.load(tmp_path / "drawn.npy"), np.stack(expected))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workdir=OUT", "--output=OUT"], ["run directory"]),
        (["--workdir=RUN"], ["output"]),
        (["--workdir=RUN", "--output=RUN/settings.json"], ["settings.json"]),
    ],
)
def test_invalid_flags_end_in_one_line(tiny_run, tmp_path, arguments, words):
    places = {"OUT": tmp_path / "out", "RUN": tiny_run}
    for name, path in places.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
    assert_one_line(call("export", *arguments), *words)
