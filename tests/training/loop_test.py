"""What ends training, and that nothing is lost then."""

import os
import shutil

import numpy as np
import pytest

from prsr.workdir.directory import Workdir
from tests.conftest import TINY, assert_one_line, call, run, succeed
from tests.runs import assert_same_weights, steps_logged, write_damaged_records


@pytest.fixture
def copy(tiny_run, tmp_path):
    """A run of six steps, to be changed."""
    return shutil.copytree(tiny_run, tmp_path / "copy")


@pytest.mark.parametrize("checkpoint_every", [1, pytest.param(1000, marks=pytest.mark.slow)])
def test_nan_stops_the_run_and_keeps_the_last_good_weights(tiny_run, copy, checkpoint_every):
    options = ["--train_steps=30", f"--checkpoint_every={checkpoint_every}", "--sample_images=0"]
    result = call("train", f"--workdir={copy}", "--learning_rate=1e38", *options)
    assert_one_line(result, "not finite", "step", "learning rate 1e+38")
    assert_same_weights(tiny_run, copy)
    # And what the message says helps.
    result = call("train", f"--workdir={copy}", "--learning_rate=1e-5", *options, "--train_steps=7")
    assert result.returncode == 0 and "resuming from step 6" in result.stderr


def rates(workdir):
    records = Workdir(workdir).read_metrics()
    return [record["learning_rate"] for record in records if "learning_rate" in record]


@pytest.mark.slow
def test_on_nan_restore_continues_at_a_lower_rate(tiny_run, copy):
    """Training resumes from the checkpoint at half the rate, which is remembered."""
    options = ["--learning_rate=5e4", "--train_steps=10", "--log_every=1", "--sample_images=0"]
    result = succeed(call("train", f"--workdir={copy}", *options, "--on_nan=restore"))
    assert "not finite at step 8 (learning rate 5e+04); going back" in result.stderr
    assert steps_logged(copy) == list(range(1, 11))
    lowered = rates(copy)[-1]
    assert np.log2(5e4 / lowered) % 1 == 0 and lowered < 5e4
    succeed(call("train", f"--workdir={copy}", *options, "--train_steps=11"))
    assert rates(copy)[-1] == pytest.approx(lowered)


@pytest.mark.slow
def test_a_damaged_record_costs_no_step(tmp_path):
    """Training stops with everything saved, and continues once the record is repaired."""
    file, whole = write_damaged_records(tmp_path, 4 * 20 + 2)  # in step 21
    options = [*TINY, "--train_steps=22", "--checkpoint_every=1000", "--sample_images=0"]
    options += ["--eval_every=1000", f"--dataset=records:{tmp_path}"]
    result = call("train", f"--workdir={tmp_path / 'run'}", *options)
    assert_one_line(result, "corrupted record", "step 20")
    assert steps_logged(tmp_path / "run") == list(range(1, 21))
    file.write_bytes(whole)
    result = succeed(call("train", f"--workdir={tmp_path / 'run'}", *options))
    assert "resuming from step 20" in result.stderr
    succeed(call("train", f"--workdir={tmp_path / 'expected'}", *options))
    assert_same_weights(tmp_path / "expected", tmp_path / "run")


def test_a_read_only_directory_is_refused_and_unchanged(tiny_run, copy):
    prefix = []
    if os.getuid() == 0:  # whom no permission binds, unless it gives up the right to ignore it
        if not shutil.which("setpriv"):
            pytest.skip("needs setpriv to test permissions as root")
        prefix = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    try:
        for folder, words in [(copy / "checkpoints", "could not write"), (copy, "cannot write")]:
            for path in [folder, *folder.rglob("*")]:
                path.chmod(0o555 if path.is_dir() else 0o444)
            result = run("train", f"--workdir={copy}", "--train_steps=7", prefix=prefix)
            assert_one_line(result, words, str(copy))
        assert_same_weights(tiny_run, copy)
    finally:
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755)
