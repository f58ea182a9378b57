"""python -m prsr.train as its own process: what a user types, and what goes wrong."""

import json
import os
import pathlib
import re
import resource
import shutil
import signal
import time

import h5py
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from prsr import workdirs
from prsr.errors import UserError
from tests.conftest import ROOT, TINY, assert_one_line, run, start


def weights(workdir):
    """Everything that training goes on from: weights, statistics, slots, step."""
    indices = (workdir / "checkpoints").glob("ckpt-*.index")
    newest = max(indices, key=lambda index: int(index.stem[5:]))
    reader = tf.train.load_checkpoint(str(newest.with_suffix("")))
    keys = sorted(reader.get_variable_to_shape_map())
    # How many checkpoints were written is no part of it.
    result = {key: reader.get_tensor(key) for key in keys if key.startswith(("model/", "optim"))}
    _, model = workdirs.Workdir(workdir).load_model()
    return {**result, **{i: v.numpy() for i, v in enumerate(model.variables)}}


def assert_same_weights(one, other):
    expected, actual = weights(one), weights(other)
    assert expected.keys() == actual.keys() and len(expected) > 100
    for key, value in expected.items():
        np.testing.assert_array_equal(actual[key], value, err_msg=key)


def steps_logged(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines if "train/nats_per_image" in line]


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def test_a_run_leaves_all_that_later_commands_need(tiny_run):
    for name in ("settings.json", "model.weights.h5", "curves.png", "samples/step_00000006.png"):
        assert (tiny_run / name).stat().st_size > 0
    assert steps_logged(tiny_run) == [1, 2, 3, 4, 5, 6]
    hparams, model = workdirs.Workdir(tiny_run).load_model()
    assert hparams.model.prior_width == 6 and model.channels == 3
    with h5py.File(tiny_run / "model.weights.h5") as file:
        assert file.keys()


def test_tensorboard_has_scalars_and_images(tiny_run):
    tags = {}
    for path in (tiny_run / "logs").iterdir():
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                tags.setdefault(value.tag, []).append(event.step)
    for name in ("joint", "conditioning", "prior"):
        assert tags[f"train/bits_per_dim/{name}"] == [1, 2, 3, 4, 5, 6]
        assert tags[f"validation/bits_per_dim/{name}"] == [4, 6]
    assert {"learning_rate", "examples_per_second", "input, samples, truth"} <= tags.keys()


def test_the_same_command_when_finished_changes_nothing(tiny_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    result = run("train", f"--workdir={copy}", *TINY, "--train_steps=6")
    assert result.returncode == 0, result.stderr
    assert "continuing from step 6" in result.stderr
    assert_same_weights(tiny_run, copy)


OPTIONS = [
    *TINY,
    "--train_steps=14",
    "--ema=0.9",
    "--mirror",
    "--clip_norm=500",
    "--sample_images=0",
]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole") / "run"
    result = run("train", f"--workdir={workdir}", *OPTIONS)
    assert result.returncode == 0, result.stderr
    return workdir


def test_killed_and_continued_equals_uninterrupted(uninterrupted, tmp_path):
    """SIGKILL between two checkpoints: the same weights, slots and averages to the bit."""
    process = start("train", f"--workdir={tmp_path}", *OPTIONS)
    log = tmp_path / "metrics.jsonl"
    wait_for(lambda: log.exists() and '"step": 8' in log.read_text(), process)
    process.kill()
    process.communicate()
    assert not (tmp_path / "curves.png").exists()
    result = run("train", f"--workdir={tmp_path}", *OPTIONS)
    assert result.returncode == 0, result.stderr
    assert re.search(r"continuing from step [36912]+", result.stderr)
    assert_same_weights(uninterrupted, tmp_path)
    assert steps_logged(tmp_path) == steps_logged(uninterrupted)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_asked_to_stop_it_saves_and_continues(uninterrupted, tmp_path, number):
    options = [*OPTIONS, "--checkpoint_every=1000"]
    process = start("train", f"--workdir={tmp_path}", *options)
    log = tmp_path / "metrics.jsonl"
    wait_for(lambda: log.exists() and '"step": 5' in log.read_text(), process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 128 + number, stderr
    assert "Traceback" not in stderr and "the same command continues" in stdout
    if not (tmp_path / "curves.png").exists():  # it had not finished already
        result = run("train", f"--workdir={tmp_path}")  # the run knows its own settings
        assert result.returncode == 0 and "continuing from step" in result.stderr
    assert_same_weights(uninterrupted, tmp_path)


def test_a_broken_newest_checkpoint_is_passed_over(uninterrupted, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(uninterrupted, copy)
    for path in (copy / "checkpoints").glob("ckpt-14.data*"):
        path.write_bytes(path.read_bytes()[:1000])
    result = run("train", f"--workdir={copy}", *OPTIONS)
    assert result.returncode == 0, result.stderr
    assert "cannot continue from" in result.stderr and "continuing from step 12" in result.stderr
    assert_same_weights(uninterrupted, copy)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--workdir"]),
        (["--workdir=w", "--trian_steps=5"], ["trian_steps", "train_steps"]),
        (["--workdir=w", "--train_steps=many"], ["train_steps", "many"]),
        (["--workdir=w", "--crop=celba"], ["crop", "center|celeba"]),
        (["--workdir=w", "--flagfile=no.flags"], ["no.flags"]),
        (["--workdir=w", "celeba.flags"], ["unexpected argument 'celeba.flags'"]),
        (["--workdir=w", "--ema=1"], ["--ema", "below 1"]),
        (["--workdir=w", "--scale=3"], ["scale", "power of two"]),
        (["--workdir=w", "--dataset=floder:x"], ["floder:x", "folder"]),
        (["--workdir=w", "--dataset=folder:/no/such"], ["no folder '/no/such'"]),
        (["--workdir=w", "--dataset=tfds:mnist", "--channels=1"], ["'mnist'", "download"]),
    ],
)
def test_what_cannot_work_ends_in_one_line(arguments, words, tmp_path):
    arguments = [
        a.replace("=w", f"={tmp_path / 'w'}") if a == "--workdir=w" else a for a in arguments
    ]
    environment = {**os.environ, "TFDS_DATA_DIR": str(tmp_path / "tfds")}
    begin = time.monotonic()
    assert_one_line(run("train", *arguments, env=environment), *words)
    assert time.monotonic() - begin < 60
    assert not (tmp_path / "w" / "settings.json").exists()


def test_unusable_images_end_in_one_line(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    arguments = [f"--workdir={tmp_path / 'w'}", *TINY, f"--dataset=folder:{folder}"]
    assert_one_line(run("train", *arguments), "no image there")
    for i in range(4):
        (folder / f"{i}.jpg").write_bytes(b"no image")
    assert_one_line(run("train", *arguments), "none of the 2 train images is usable")


def test_unaligned_celeba_ends_in_one_line(tmp_path):
    for i in range(4):
        Image.new("RGB", (250, 250)).save(tmp_path / f"{i}.jpg")
    arguments = [f"--workdir={tmp_path / 'w'}", *TINY, f"--dataset=folder:{tmp_path}"]
    assert_one_line(run("train", *arguments, "--crop=celeba"), "178x218", "250x250")


def test_another_architecture_leaves_the_run_alone(tiny_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    result = run("train", f"--workdir={copy}", "--prior_width=8", "--train_steps=9")
    assert_one_line(result, "--prior_width=6", "not 8")
    assert (copy / "settings.json").read_text() == (tiny_run / "settings.json").read_text()
    assert_same_weights(tiny_run, copy)


def test_settings_that_cannot_be_read(tiny_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    wrong_type = (tiny_run / "settings.json").read_text().replace(": 4,", ': "4",', 1)
    for text in ("{", "[]", '{"hparams": {"model": {"wdith": 3}}}', wrong_type):
        (copy / "settings.json").write_text(text)
        with pytest.raises(UserError, match="settings.json"):
            workdirs.Workdir(copy).read_hparams()
    assert_one_line(run("train", f"--workdir={copy}"), "settings.json")
    assert (copy / "settings.json").read_text() == text


@pytest.mark.parametrize("checkpoint_every", [1, pytest.param(1000, marks=pytest.mark.slow)])
def test_nan_stops_the_run_and_keeps_the_last_good_weights(tiny_run, tmp_path, checkpoint_every):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    options = ["--train_steps=30", f"--checkpoint_every={checkpoint_every}", "--sample_images=0"]
    result = run("train", f"--workdir={copy}", "--learning_rate=1e38", *options)
    assert_one_line(result, "not a number", "step", "learning rate 1e+38")
    assert_same_weights(tiny_run, copy)
    # And what the message says helps.
    result = run("train", f"--workdir={copy}", "--learning_rate=1e-5", *options, "--train_steps=7")
    assert result.returncode == 0 and "continuing from step 6" in result.stderr


def test_weights_without_a_checkpoint_are_not_overwritten(tiny_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    shutil.rmtree(copy / "checkpoints")
    metrics = (copy / "metrics.jsonl").read_text()
    assert_one_line(run("train", f"--workdir={copy}", "--train_steps=9"), "no checkpoint")
    assert (copy / "metrics.jsonl").read_text() == metrics
    assert (copy / "model.weights.h5").read_bytes() == (tiny_run / "model.weights.h5").read_bytes()


def test_no_room_for_a_checkpoint(tiny_run, tmp_path):
    """The disk ends in the middle of a file."""
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    result = run("train", f"--workdir={copy}", "--train_steps=9", preexec_fn=limit)
    assert_one_line(result, "could not write", "earlier checkpoints are untouched")
    assert_same_weights(tiny_run, copy)
    workdirs.Workdir(copy).load_model()


def test_no_permission_for_a_checkpoint(tiny_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    prefix = []
    if os.getuid() == 0:  # whom no permission binds, unless it gives up the right to ignore it
        if not shutil.which("setpriv"):
            pytest.skip("needs setpriv to test permissions as root")
        prefix = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    try:
        for folder, words in [(copy / "checkpoints", "could not write"), (copy, "cannot write")]:
            for path in [folder, *folder.rglob("*")]:
                path.chmod(0o555 if path.is_dir() else 0o444)
            result = run("train", f"--workdir={copy}", "--train_steps=9", prefix=prefix)
            assert_one_line(result, words, str(copy))
        assert_same_weights(tiny_run, copy)
    finally:
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755)


def test_two_trainers_in_one_directory(tmp_path):
    options = [f"--workdir={tmp_path}", *TINY, "--train_steps=100000", "--log_every=1000"]
    first = start("train", *options)
    try:
        wait_for((tmp_path / "settings.json").exists, first)
        assert_one_line(run("train", *options), "another process is training")
    finally:
        first.kill()
        first.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "experiments").glob("*.flags")))
def test_experiments_describe_models_that_can_be_trained(name, tmp_path):
    """Every flagfile is read and its model built; then the data are looked for."""
    result = run(
        "train",
        f"--flagfile={pathlib.Path('experiments') / name}",
        f"--workdir={tmp_path}",
        f"--dataset=folder:{tmp_path}",
    )
    assert_one_line(result, "no image there")
