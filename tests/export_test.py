"""python -m prsr.export as its own process, and what other programs make of its output."""

import pathlib
import subprocess
import sys
import venv

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import prsr
from prsr.data import preprocessing
from prsr.workdir import pretrained
from tests.conftest import assert_one_line, call, run

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


def sampled_by_command(low_res, folder, *flags):
    """The third sample of seed 5 of each image, as `prsr.sample` writes it."""
    (folder / "in").mkdir()
    for i, image in enumerate(low_res):
        Image.fromarray(image).save(folder / "in" / f"{i}.png")
    arguments = ["--seed=5", "--num_samples=3", "--tau=1.1", f"--output={folder / 'out'}"]
    result = call("sample", *flags, f"--input={folder / 'in'}", *arguments)
    assert result.returncode == 0, result.stderr
    return [np.asarray(Image.open(folder / "out" / f"{i}_3.png")) for i in range(len(low_res))]


def sampled_elsewhere(python, low_res, export, folder):
    """The same samples, drawn by a program without this package."""
    np.save(folder / "low_res.npy", low_res)
    result = subprocess.run(
        [python, "-c", ELSEWHERE, export / "1", folder / "low_res.npy", folder / "drawn.npy"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return np.load(folder / "drawn.npy")


def inputs(count, side):
    return np.random.default_rng(4).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_another_program_draws_what_the_command_draws(tiny_run, tiny_export, tmp_path):
    low_res = inputs(9, 2)
    drawn = sampled_elsewhere(sys.executable, low_res, tiny_export, tmp_path)
    expected = sampled_by_command(low_res, tmp_path, f"--workdir={tiny_run}")
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.slow
def test_tensorflow_alone_draws_what_the_command_draws(tmp_path):
    """The model of the package, in an environment of its own."""
    assert run("export", "--model=faces", f"--output={tmp_path / 'faces'}").returncode == 0
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", f"tensorflow=={tf.__version__}"]
    subprocess.run(install, check=True)
    assert subprocess.run([python, "-c", "import prsr"], cwd=tmp_path, stderr=-3).returncode == 1
    # Faces: noise has ties that rounding decides, differently in parts of one and of eight.
    examples = sorted((pretrained.workdir("faces").path / "examples").glob("*.jpg"))
    faces = [preprocessing.crop(np.asarray(Image.open(path)), "celeba") for path in examples]
    low_res = np.stack([np.asarray(Image.fromarray(face).resize((8, 8))) for face in faces])
    low_res = np.concatenate([low_res, low_res[:, :, ::-1], low_res // 2, low_res[:, :, ::-1] // 2])
    low_res = np.concatenate([low_res, 255 - low_res[:1]])  # nine: a part of eight, and one
    drawn = sampled_elsewhere(python, low_res, tmp_path / "faces", tmp_path)
    np.testing.assert_array_equal(drawn, sampled_by_command(low_res, tmp_path, "--model=faces"))


@pytest.mark.slow
def test_tensorflow_s_own_command(tiny_export, tmp_path):
    """As docs/api.md has it."""
    program = pathlib.Path(sys.executable).parent / "saved_model_cli"
    low_res = inputs(1, 2)
    np.save(tmp_path / "low_res.npy", low_res)
    result = subprocess.run(
        [
            program, "run", "--dir", tiny_export / "1", "--tag_set=serve",
            "--signature_def=sample", "--inputs", f"low_res={tmp_path / 'low_res.npy'}",
            "--input_exprs=tau=1.1;seed=[[5, 3]];guidance=0.0;match_input=False",
            "--outdir", tmp_path,
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    expected = prsr.load(tiny_export).sample(low_res, 3, tau=1.1, seed=5)[:, 2]
    np.testing.assert_array_equal(np.load(tmp_path / "high_res.npy"), expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workdir=OUT", "--output=OUT"], ["not a run directory"]),
        (["--workdir=RUN"], ["output"]),
        (["--workdir=RUN", "--output=RUN/settings.json"], ["could not write to"]),
    ],
)
def test_what_cannot_work_ends_in_one_line(tiny_run, tmp_path, arguments, words):
    places = {"OUT": tmp_path / "out", "RUN": tiny_run}
    for name, path in places.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
    assert_one_line(call("export", *arguments), *words)
