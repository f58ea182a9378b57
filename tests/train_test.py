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
from PIL import Image

from prsr.data import image_sets, pipeline, records
from prsr.errors import UserError
from prsr.hparams import DataHparams
from prsr.trained.workdir import Workdir
from tests.conftest import ROOT, TINY, WHOLE, assert_one_line, call, run, start
from tests.runs import assert_same_weights, steps_logged, summaries, wait_for

WEIGHTS_ALONE = [*WHOLE, "--sample_images=0"]


def test_a_run_leaves_all_that_later_commands_need(tiny_run):
    for name in ("settings.json", "model.weights.h5", "curves.png", "samples/step_00000006.png"):
        assert (tiny_run / name).stat().st_size > 0
    assert steps_logged(tiny_run) == [1, 2, 3, 4, 5, 6]
    hparams, model = Workdir(tiny_run).load_model()
    assert hparams.model.prior_width == 6 and model.channels == 3
    with h5py.File(tiny_run / "model.weights.h5") as file:
        assert file.keys()


def test_tensorboard_has_scalars_and_images(tiny_run):
    tags = {tag: [step for step, _ in steps] for tag, steps in summaries(tiny_run).items()}
    for name in ("joint", "conditioning", "prior"):
        assert tags[f"train/bits_per_dim/{name}"] == [1, 2, 3, 4, 5, 6]
        assert tags[f"validation/bits_per_dim/{name}"] == [4, 6]
    assert {"learning_rate", "examples_per_second", "input, samples, truth"} <= tags.keys()


def test_the_same_command_when_finished_changes_nothing(tiny_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    result = call("train", f"--workdir={copy}", *TINY, "--train_steps=6")
    assert result.returncode == 0, result.stderr
    assert "continuing from step 6" in result.stderr
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
    assert re.search(r"continuing from step [36912]+", result.stderr)
    assert_same_weights(uninterrupted, tmp_path)
    assert steps_logged(tmp_path) == steps_logged(uninterrupted)


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
        assert result.returncode == 0 and "continuing from step" in result.stderr
    assert_same_weights(uninterrupted, tmp_path)


def test_a_broken_newest_checkpoint_is_passed_over(uninterrupted, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(uninterrupted, copy)
    for path in (copy / "checkpoints").glob("ckpt-14.data*"):
        path.write_bytes(path.read_bytes()[:1000])
    result = call("train", f"--workdir={copy}", *WEIGHTS_ALONE)
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
    assert_one_line(call("train", *arguments), "no image there")
    for i in range(4):
        (folder / f"{i}.jpg").write_bytes(b"no image")
    assert_one_line(call("train", *arguments), "none of the 2 train images is usable")


def test_unaligned_celeba_ends_in_one_line(tmp_path):
    for i in range(4):
        Image.new("RGB", (250, 250)).save(tmp_path / f"{i}.jpg")
    arguments = [f"--workdir={tmp_path / 'w'}", *TINY, f"--dataset=folder:{tmp_path}"]
    assert_one_line(call("train", *arguments, "--crop=celeba"), "178x218", "250x250")


def test_another_architecture_leaves_the_run_alone(tiny_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    result = call("train", f"--workdir={copy}", "--prior_width=8", "--train_steps=9")
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
            Workdir(copy).read_hparams()
    assert_one_line(call("train", f"--workdir={copy}"), "settings.json")
    assert (copy / "settings.json").read_text() == text


@pytest.mark.parametrize("checkpoint_every", [1, pytest.param(1000, marks=pytest.mark.slow)])
def test_nan_stops_the_run_and_keeps_the_last_good_weights(tiny_run, tmp_path, checkpoint_every):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    options = ["--train_steps=30", f"--checkpoint_every={checkpoint_every}", "--sample_images=0"]
    result = call("train", f"--workdir={copy}", "--learning_rate=1e38", *options)
    assert_one_line(result, "not a number", "step", "learning rate 1e+38")
    assert_same_weights(tiny_run, copy)
    # And what the message says helps.
    result = call("train", f"--workdir={copy}", "--learning_rate=1e-5", *options, "--train_steps=7")
    assert result.returncode == 0 and "continuing from step 6" in result.stderr


@pytest.mark.slow
def test_nan_and_restore_goes_back_and_on_with_a_lower_rate(tiny_run, tmp_path):
    """As if the run had been continued with that factor from the beginning."""
    back, told = tmp_path / "back", tmp_path / "told"
    options = ["--learning_rate=5e4", "--train_steps=10", "--log_every=1", "--sample_images=0"]
    shutil.copytree(tiny_run, back)
    result = call("train", f"--workdir={back}", *options, "--on_nan=restore")
    assert result.returncode == 0, result.stderr
    assert "not a number at step 8 (learning rate 5e+04); going back" in result.stderr
    factor = Workdir(back).read_hparams().training.learning_rate_factor
    assert 0 < factor < 1
    assert steps_logged(back) == list(range(1, 11))
    shutil.copytree(tiny_run, told)
    result = call("train", f"--workdir={told}", *options, f"--learning_rate_factor={factor}")
    assert result.returncode == 0, result.stderr
    assert_same_weights(told, back)
    # The same command keeps what was learnt.
    result = call("train", f"--workdir={back}", *options, "--train_steps=11")
    assert result.returncode == 0, result.stderr
    rate = json.loads((back / "metrics.jsonl").read_text().splitlines()[-2])["learning_rate"]
    assert rate == pytest.approx(5e4 * factor)


@pytest.mark.slow
def test_nan_and_restore_that_does_not_help(tiny_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    options = ["--learning_rate=1e38", "--train_steps=9", "--on_nan=restore"]
    assert_one_line(call("train", f"--workdir={copy}", *options), "not a number")
    assert_same_weights(tiny_run, copy)
    assert Workdir(copy).read_hparams().training.learning_rate_factor == 1


def test_a_record_that_is_damaged_costs_no_step(tmp_path):
    """Training stops at it with everything saved, and goes on when it was mended."""
    image_set = image_sets.load(DataHparams(dataset="drawn:200", image_size=8), 3, "train")
    bad = int(pipeline.shuffled(np.int64([4 * 20 + 2]), len(image_set), seed=1)[0])  # in step 21
    for folder in ("whole", "damaged"):
        (tmp_path / folder).mkdir()
        for split in ("train", "validation"):
            records.write(tmp_path / folder / f"{split}-00000.tfrecord", image_set.images)
    file = tmp_path / "damaged" / "train-00000.tfrecord"
    whole = file.read_bytes()
    options = [*TINY, "--train_steps=30", "--checkpoint_every=1000", "--sample_images=0"]
    expected = tmp_path / "expected"
    result = call(
        "train", f"--workdir={expected}", *options, f"--dataset=records:{tmp_path / 'whole'}"
    )
    assert result.returncode == 0, result.stderr
    place = bad * (8 * 8 * 3 + 16) + 100
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
    options += [f"--workdir={tmp_path / 'run'}", f"--dataset=records:{tmp_path / 'damaged'}"]
    result = call("train", *options)
    assert_one_line(result, "cannot be read any more", "corrupted record", "step 20 is saved")
    assert steps_logged(tmp_path / "run") == list(range(1, 21))
    file.write_bytes(whole)
    result = call("train", *options)
    assert result.returncode == 0, result.stderr
    assert "continuing from step 20" in result.stderr
    assert_same_weights(expected, tmp_path / "run")


def test_weights_without_a_checkpoint_are_not_overwritten(tiny_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    shutil.rmtree(copy / "checkpoints")
    metrics = (copy / "metrics.jsonl").read_text()
    assert_one_line(call("train", f"--workdir={copy}", "--train_steps=9"), "no checkpoint")
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
    Workdir(copy).load_model()


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
    assert_one_line(result, "no image there")
