"""python -m prsr.train as its own process: what a user types, and what goes wrong."""

import os
import pathlib
import re
import shutil
import signal
import time

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from prsr.workdir.directory import Workdir
from tests.conftest import ROOT, TINY, WHOLE, assert_one_line, call, run, start
from tests.runs import assert_same_weights, steps_logged, wait_for

WEIGHTS_ALONE = [*WHOLE, "--sample_images=0", "--eval_every=1000"]


def test_a_run_leaves_all_that_later_commands_need(tiny_run):
    for name in ("settings.json", "model.weights.h5", "curves.png", "samples/step_00000006.png"):
        assert (tiny_run / name).stat().st_size > 0
    assert steps_logged(tiny_run) == [1, 2, 3, 4, 5, 6]
    hparams, model = Workdir(tiny_run).load_model()
    assert hparams.model.prior_width == 6 and model.channels == 3


def test_the_same_command_when_finished_changes_nothing(tiny_run, tmp_path):
    copy = shutil.copytree(tiny_run, tmp_path / "copy")
    result = call("train", f"--workdir={copy}", *TINY, "--train_steps=6")
    assert result.returncode == 0, result.stderr
    assert "resuming from step 6" in result.stderr
    assert "the run is at step 6; a larger --train_steps" in result.stdout
    assert_same_weights(tiny_run, copy)


def test_killed_and_continued_equals_uninterrupted(uninterrupted, tmp_path):
    """SIGKILL between two checkpoints: the same weights, slots and averages to the bit."""
    process = start("train", f"--workdir={tmp_path}", *WEIGHTS_ALONE)
    log = tmp_path / "metrics.jsonl"
    wait_for(lambda: log.exists() and '"step": 8' in log.read_text(), process)
    process.kill()
    process.communicate()
    assert not (tmp_path / "curves.png").exists()
    result = call("train", f"--workdir={tmp_path}", *WEIGHTS_ALONE)
    assert result.returncode == 0, result.stderr
    assert re.search(r"resuming from step [36912]+", result.stderr)
    assert_same_weights(uninterrupted, tmp_path)
    assert steps_logged(tmp_path) == steps_logged(uninterrupted) == shown(tmp_path)


def shown(workdir):
    """The steps of a score that TensorBoard shows."""
    events = EventAccumulator(str(workdir / "logs"), size_guidance={"tensors": 0}).Reload()
    return [event.step for event in events.Tensors("train/bits_per_dim/joint")]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_asked_to_stop_it_saves_and_continues(uninterrupted, tmp_path, number):
    options = [*WEIGHTS_ALONE, "--checkpoint_every=1000"]
    process = start("train", f"--workdir={tmp_path}", *options)
    log = tmp_path / "metrics.jsonl"
    wait_for(lambda: log.exists() and '"step": 5' in log.read_text(), process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 128 + number, stderr
    assert "Traceback" not in stderr and "the same command continues" in stdout
    if not (tmp_path / "curves.png").exists():  # it had not finished already
        result = call("train", f"--workdir={tmp_path}", "--sample_images=0")  # the rest it knows
        assert result.returncode == 0 and "resuming from step" in result.stderr
    assert_same_weights(uninterrupted, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--workdir"]),
        (["--workdir="], ["--workdir is missing"]),
        (["--workdir=w", "--trian_steps=5"], ["trian_steps", "train_steps"]),
        (["--workdir=w", "--train_steps=many"], ["train_steps", "many"]),
        (["--workdir=w", "--crop=celba"], ["crop", "center|celeba"]),
        (["--workdir=w", "--flagfile=no.flags"], ["no.flags"]),
        (["--workdir=w", "celeba.flags"], ["unexpected argument 'celeba.flags'"]),
        (["--workdir=w", "--ema=1"], ["ema", "below 1"]),
        (["--workdir=w", "--scale=3"], ["scale", "power of two"]),
        (["--workdir=w", "--dataset=floder:x"], ["floder:x", "folder"]),
        (["--workdir=w", "--dataset=folder:/no/such"], ["no folder '/no/such'"]),
    ],
)
def test_what_cannot_work_ends_in_one_line(arguments, words, tmp_path):
    arguments = [
        a.replace("=w", f"={tmp_path / 'w'}") if a == "--workdir=w" else a for a in arguments
    ]
    assert_one_line(call("train", *arguments), *words)
    assert not (tmp_path / "w" / "settings.json").exists()


def test_a_data_set_that_is_not_there_is_not_downloaded(tmp_path):
    environment = {**os.environ, "TFDS_DATA_DIR": str(tmp_path / "tfds")}
    arguments = [f"--workdir={tmp_path / 'w'}", "--dataset=tfds:mnist", "--channels=1"]
    begin = time.monotonic()
    assert_one_line(run("train", *arguments, env=environment), "'mnist'", "download")
    assert time.monotonic() - begin < 60
    assert not (tmp_path / "w" / "settings.json").exists()


def test_unusable_images_end_in_one_line(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    arguments = [f"--workdir={tmp_path / 'w'}", *TINY, f"--dataset=folder:{folder}"]
    assert_one_line(call("train", *arguments), "contains no images")
    for i in range(4):
        (folder / f"{i}.jpg").write_bytes(b"no image")
    assert_one_line(call("train", *arguments), "none of the 2 train images is usable")
    for i in range(4):
        Image.new("RGB", (250, 250)).save(folder / f"{i}.jpg")
    assert_one_line(call("train", *arguments, "--crop=celeba"), "178x218", "250x250")


def test_two_trainers_in_one_directory(tmp_path):
    options = [f"--workdir={tmp_path}", *TINY, "--train_steps=100000", "--log_every=1000"]
    first = start("train", *options)
    try:
        wait_for((tmp_path / "settings.json").exists, first)
        assert_one_line(call("train", *options), "another process is training")
    finally:
        first.kill()
        first.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "experiments").glob("*.flags")))
def test_experiments_describe_models_that_can_be_trained(name, tmp_path):
    """Every flagfile is read and its model built; then the data are looked for."""
    result = call(
        "train",
        f"--flagfile={pathlib.Path('experiments') / name}",
        f"--workdir={tmp_path}",
        f"--dataset=folder:{tmp_path}",
    )
    assert_one_line(result, "contains no images")
