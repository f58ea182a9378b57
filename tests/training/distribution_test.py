"""Several devices and several machines compute what one device does."""

import json
import os
import signal
import socket
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from prsr.system.errors import UserError
from prsr.training import distribution
from prsr.workdir.directory import Workdir
from tests.conftest import TINY, assert_one_line, run, start, succeed
from tests.runs import (
    assert_same_weights,
    steps_logged,
    wait_for_step,
    weights,
    write_damaged_records,
)

TWO = ["host1:2222", "host2:2222"]
OPTIONS = [*TINY, "--ema=0.9", "--mirror", "--train_steps=12"]


def config(workers, index, kind="worker"):
    return json.dumps({"cluster": {kind: workers}, "task": {"type": kind, "index": index}})


def addresses(count):
    """Addresses on this machine that nobody uses."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return [f"localhost:{port}" for port in ports]


def worker(addresses, index, *arguments):
    """Starts one of several machines."""
    environment = {**os.environ, "TF_CONFIG": config(addresses, index)}
    return start("train", *arguments, env=environment)


def finish(process):
    stdout, stderr = process.communicate(timeout=300)
    assert "Traceback" not in stderr, stderr
    return process.returncode, stdout, stderr


def assert_close_weights(one, other):
    """Equal but for the order in which floats were added, and RMSProp's division by small ones."""
    expected, actual = weights(one), weights(other)
    assert expected.keys() == actual.keys() and len(expected) > 100
    for key, value in expected.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(actual[key], value, rtol=2e-2, atol=2e-3, err_msg=str(key))


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one") / "run"
    succeed(run("train", f"--workdir={workdir}", *OPTIONS))
    return workdir


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """The run directory of two processes; the second finds the first's directory."""
    workdir = tmp_path_factory.mktemp("workers") / "run"
    workers = addresses(2)
    processes = [worker(workers, i, f"--workdir={workdir}", *OPTIONS) for i in (1, 0)]
    for process in processes:
        status, stdout, stderr = finish(process)
        assert status == 0 and "2 devices" in stdout, stderr
    return workdir


@pytest.mark.slow
def test_two_workers_equal_one_device(one_device, two_workers):
    assert_close_weights(one_device, two_workers)
    assert steps_logged(one_device) == steps_logged(two_workers) == list(range(1, 13))
    logs = [Workdir(workdir).read_metrics() for workdir in (one_device, two_workers)]
    for one, two in zip(*logs, strict=True):
        assert one.keys() == two.keys()
        for name in one:
            if "per_second" not in name:
                assert two[name] == pytest.approx(one[name], rel=1e-3), name


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_training_continues_after_a_worker_was_killed(two_workers, tmp_path, lost):
    """The other waits until it is started again, and both resume from the last checkpoint."""
    workers = addresses(2)
    options = [f"--workdir={tmp_path}", *OPTIONS]
    processes = [worker(workers, i, *options) for i in range(2)]
    try:
        wait_for_step(tmp_path, 5, processes[0])
        processes[lost].kill()
        processes[lost].communicate()
        processes[lost] = worker(workers, lost, *options)
        for index, process in enumerate(processes):
            status, stdout, stderr = finish(process)
            assert status == 0, stderr
            if index != lost:
                assert "a worker was lost" in stderr and "restarting" in stderr
            if index == 0:
                assert "resuming from step" in stderr
    finally:
        for process in processes:
            process.kill()
    assert_same_weights(two_workers, tmp_path)
    assert steps_logged(tmp_path) == steps_logged(two_workers)


@pytest.mark.slow
def test_a_signal_to_one_worker_stops_all(two_workers, tmp_path):
    """Their checkpoint continues on one device, on four, and on two workers again."""
    workers = addresses(2)
    options = [f"--workdir={tmp_path}", *OPTIONS]
    processes = [worker(workers, i, *options, "--checkpoint_every=1000") for i in range(2)]
    wait_for_step(tmp_path, 3, processes[0])
    processes[1].send_signal(signal.SIGTERM)
    for process in processes:
        status, stdout, stderr = finish(process)
        assert status == 128 + signal.SIGTERM, stderr
        assert "the same command continues" in stdout
    (checkpoint,) = (tmp_path / "checkpoints").glob("*.index")
    step = int(checkpoint.stem[5:])
    assert 3 <= step < 10
    for devices in (1, 4):
        step += 1
        flags = [f"--num_replicas={devices}", f"--train_steps={step}"]
        result = succeed(run("train", *options, *flags))
        assert f"resuming from step {step - 1}" in result.stderr
        assert f"{devices} device" in result.stdout
    for process in [worker(workers, i, *options) for i in range(2)]:
        status, stdout, stderr = finish(process)
        assert status == 0, stderr
    assert_close_weights(two_workers, tmp_path)
    assert steps_logged(tmp_path) == steps_logged(two_workers)


def both_refuse(*arguments_of):
    """Two workers, each with its own arguments, end in one line each: returns these."""
    workers = addresses(2)
    processes = [worker(workers, i, *arguments) for i, arguments in enumerate(arguments_of)]
    try:
        for process in processes:
            status, stdout, stderr = finish(process)
            assert_one_line(subprocess.CompletedProcess([], status, stdout, stderr))
            yield stderr.splitlines()[-1]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("other", ["--seed=7", "--prior_layers=2", "--eval_every=5"])
def test_workers_with_different_flags_are_refused(tmp_path, other):
    options = [f"--workdir={tmp_path}", *OPTIONS]
    for line in both_refuse(options, [*options, other]):
        assert "settings or images differ" in line
    assert not (tmp_path / "settings.json").exists()


@pytest.mark.slow
def test_an_image_that_one_worker_cannot_read_stops_all(tmp_path):
    """All save before the step that needs the image."""
    write_damaged_records(tmp_path, 4 * 20 + 3)  # in step 21
    options = [f"--workdir={tmp_path / 'run'}", *TINY, f"--dataset=records:{tmp_path}"]
    options += ["--checkpoint_every=1000", "--train_steps=30"]
    chief, second = both_refuse(options, options)
    assert "by another worker" in chief and "corrupted record" in second
    assert (tmp_path / "run" / "checkpoints" / "ckpt-20.index").exists()


def test_one_machine_has_no_strategy(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert distribution.open_strategy() is None
    monkeypatch.setenv("TF_CONFIG", config(["alone:2222"], 0))
    assert distribution.open_strategy() is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"cluster": {}, "task": {}}',
        config(TWO, 2),
        config(TWO, 0, "ps"),
        config(["host1:port", "host2:2222"], 0),
    ],
)
def test_an_invalid_cluster_is_refused(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="TF_CONFIG"):
        distribution.open_strategy()


def test_more_replicas_than_gpus_are_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["one", "two"])
    with pytest.raises(UserError, match="3 devices.* 2 GPU"):
        distribution.open_strategy(3)
