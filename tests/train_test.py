"""python -m prsr.train as its own process: what a user types, and what goes wrong."""

import os
import re
import shutil
import signal
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from prsr.workdir.directory import Workdir
from tests.conftest import ROOT, TINY, WHOLE, assert_one_line, call, run, start, succeed
from tests.runs import assert_same_weights, steps_logged, wait_for, wait_for_step

WEIGHTS_ALONE = [*WHOLE, "--sample_images=0", "--eval_every=1000"]


def test_a_run_leaves_what_later_commands_need(tiny_run):
    for name in ("settings.json", "model.weights.h5", "curves.png", "samples/step_00000006.png"):
        assert (tiny_run / name).stat().st_size > 0
    assert steps_logged(tiny_run) == [1, 2, 3, 4, 5, 6]
    hparams, model = Workdir(tiny_run).load_model()
    assert hparams.model.prior_width == 6 and model.channels == 3


def test_a_finished_run_is_not_changed(tiny_run, tmp_path):
    copy = shutil.copytree(tiny_run, tmp_path / "copy")
    result = succeed(call("train", f"--workdir={copy}", *TINY, "--train_steps=6"))
    assert "resuming from step 6" in result.stderr
    assert "the run is at step 6; a larger --train_steps" in result.stdout
    assert_same_weights(tiny_run, copy)


def test_a_killed_run_continues_to_the_same_weights(uninterrupted, tmp_path):
    """SIGKILL between checkpoints changes no bit of weights, slots and averages."""
    process = start("train", f"--workdir={tmp_path}", *WEIGHTS_ALONE)
    wait_for_step(tmp_path, 8, process)
    process.kill()
    process.communicate()
    assert not (tmp_path / "curves.png").exists()
    result = succeed(call("train", f"--workdir={tmp_path}", *WEIGHTS_ALONE))
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
def test_a_signal_saves_the_run_and_it_continues(uninterrupted, tmp_path, number):
    options = [*WEIGHTS_ALONE, "--checkpoint_every=1000"]
    process = start("train", f"--workdir={tmp_path}", *options)
    wait_for_step(tmp_path, 5, process)
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
        (["--workdir="], ["--workdir"]),
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
def test_invalid_flags_end_in_one_line(arguments, words, tmp_path):
    arguments = [
        a.replace("=w", f"={tmp_path / 'w'}") if a == "--workdir=w" else a for a in arguments
    ]
    assert_one_line(call("train", *arguments), *words)
    assert not (tmp_path / "w" / "settings.json").exists()


def test_a_missing_data_set_is_not_downloaded(tmp_path):
    environment = {**os.environ, "TFDS_DATA_DIR": str(tmp_path / "tfds")}
    arguments = [f"--workdir={tmp_path / 'w'}", "--dataset=tfds:mnist", "--channels=1"]
    begin = time.monotonic()
    assert_one_line(run("train", *arguments, env=environment), "'mnist'", "download")
    assert time.monotonic() - begin < 60
    assert not (tmp_path / "w" / "settings.json").exists()


def test_a_second_trainer_in_a_directory_is_refused(tmp_path):
    options = [f"--workdir={tmp_path}", *TINY, "--train_steps=100000", "--log_every=1000"]
    first = start("train", *options)
    try:
        wait_for((tmp_path / "settings.json").exists, first)
        assert_one_line(call("train", *options), str(tmp_path), "training")
    finally:
        first.kill()
        first.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "experiments").glob("*.flags")))
def test_experiments_describe_models_that_can_be_trained(name, tmp_path):
    """Every flagfile is read and its model built; then the data are looked for."""
    options = [f"--flagfile={ROOT / 'experiments' / name}", f"--workdir={tmp_path}"]
    options.append(f"--dataset=folder:{tmp_path}")
    assert_one_line(call("train", *options), "contains no images")
