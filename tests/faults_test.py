"""Faults around a run: whatever happens, the same command ends as if nothing had happened."""

import collections
import contextlib
import json
import math
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time
from typing import NamedTuple

import pytest

from tests.conftest import WHOLE, assert_one_line, run, start
from tests.runs import assert_same_weights, has_loaded, seconds_worked, summaries, wait_for


@pytest.fixture(scope="module")
def timed_run(uninterrupted, tmp_path_factory):
    """A run that nothing happened to, and the seconds that such a run takes."""
    begin = time.monotonic()
    finish(tmp_path_factory.mktemp("timed") / "run")
    return uninterrupted, time.monotonic() - begin


def finish(workdir, *options, **environment):
    """The command, once more: it goes on, and to the end."""
    result = run("train", f"--workdir={workdir}", *WHOLE, *options, **environment)
    assert result.returncode == 0, result.stderr
    assert_quiet(result.stdout, result.stderr)
    return result


def assert_quiet(stdout, stderr):
    assert "Traceback" not in stdout + stderr, stderr


def records(workdir):
    """What metrics.jsonl says, without the speeds."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if "per_second" not in name}
        for line in lines
    ]


def names(workdir):
    """All files but TensorBoard's, of which each start makes one, and checkpoints as such."""
    paths = (str(path.relative_to(workdir)) for path in workdir.rglob("*"))
    return sorted(re.sub(r"ckpt-\d+", "ckpt-N", path) for path in paths if path[:5] != "logs/")


def assert_as_if_nothing_happened(workdir, expected):
    """The same weights, slots and statistics to the bit, every step once, the same files."""
    assert_same_weights(expected, workdir)
    assert records(workdir) == records(expected)
    assert names(workdir) == names(expected)
    shown = summaries(workdir)
    for tag, steps in summaries(expected).items():
        # What was not saved is done, and shown, again.
        assert {step for step, _ in shown.get(tag, [])} == {step for step, _ in steps}, tag


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_random_moments(timed_run, tmp_path, seed):
    """SIGKILL, up to three times, anywhere between the first import and the last picture."""
    uninterrupted, seconds = timed_run
    rng = random.Random(seed)
    options = [f"--checkpoint_every={rng.choice([1, 3])}"]
    for _ in range(rng.choice([1, 1, 2, 3])):
        delay = seconds * rng.choice([rng.random(), rng.uniform(0.5, 1)])
        process = start("train", f"--workdir={tmp_path}", *WHOLE, *options)
        try:
            stdout, stderr = process.communicate(timeout=delay)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
        assert_quiet(stdout, stderr)
        print(f"{delay:.1f} s: {process.returncode}, {(stderr or stdout).splitlines()[-1:]}")
    finish(tmp_path, *options)
    assert_as_if_nothing_happened(tmp_path, uninterrupted)


def strace(log, *options):
    """A prefix that traces a process and its threads."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-o", str(log), *options]


class Change(NamedTuple):
    """A system call by which a run changes its directory.

    Attributes:
        kind: what it is for, whatever the step.
        call: its name.
        path: relative to the run directory; None if it has another name in every run.
        nth: which of the main thread's calls on this path, or on any path, it is.
    """

    kind: str
    call: str
    path: str | None
    nth: int


CALLS = ("openat", "write", "pwrite64", "rename", "unlink", "mkdir", "rmdir", "ftruncate")


@pytest.fixture(scope="module")
def changes(tmp_path_factory):
    """Every `Change` of a run, in order."""
    folder = tmp_path_factory.mktemp("traced")
    workdir, log = folder / "run", folder / "log"
    finish(workdir, prefix=strace(log, "-e", f"trace={','.join(CALLS)}"))
    lines = log.read_text(errors="replace").splitlines()
    seen, result = collections.Counter(), []
    for line in lines:
        thread, call = re.match(r"(\d+) +(\w*)", line).groups()
        if thread != lines[0].split()[0] or call not in CALLS:
            continue
        paths = re.findall(rf'["<]{re.escape(str(workdir))}/?([^">]*)[">]', line)
        path = paths[0] if paths else None  # of a rename, what strace -P goes by
        seen.update({(call, path), (call, None)})
        if path is None or "O_RDONLY" in line or " = -1 " in line:
            continue
        kind = f"{call} {re.sub(r'[0-9]+', 'N', paths[-1].split('.tfevents')[0])}"
        fixed = None if re.search("tempstate|tfevents", path) else path
        if fixed is not None or call != "openat":  # imports open thousands of files
            result.append(Change(kind, call, fixed, seen[call, fixed]))
    return result


def sample(changes, count, rng):
    """One change of every kind, and others at random, in order."""
    order = rng.sample(range(len(changes)), len(changes))
    first = {changes[i].kind: i for i in order}
    chosen = {*first.values(), *order[: max(0, count - len(first))]}
    return [changes[i] for i in sorted(chosen)]


def at(change, workdir, log, fault):
    """A prefix that makes this change, and those after it on the same path, fail."""
    only = [] if change.path is None else ["-P", str(workdir / change.path)]
    inject = f"inject={change.call}:{fault}:when={change.nth}+"
    return strace(log, *only, "-e", f"trace={change.call}", "-e", inject)


def killed_at(change, workdir, log):
    """Runs the command, SIGKILL in place of a change; returns whether it came to it."""
    log.unlink(missing_ok=True)
    # Stopped there for long, then killed: strace's own signals would double the time.
    prefix = at(change, workdir, log, "delay_enter=600000000")
    process = start("train", f"--workdir={workdir}", *WHOLE, prefix=prefix)
    there = False
    while process.poll() is None and not there:
        time.sleep(0.05)
        text = log.read_text(errors="replace") if log.exists() else ""
        main = text.split(maxsplit=1)[0] if text else ""
        there = len(re.findall(rf"^{main} +{change.call}\(", text, re.MULTILINE)) >= change.nth
    if there:
        os.kill(int(main), signal.SIGKILL)
        process.kill()
    stdout, stderr = process.communicate(timeout=60)
    assert_quiet(stdout, stderr)
    assert there or process.returncode == 0, stderr
    print(f"{'killed at' if there else 'never came to'} {change}: {stderr.splitlines()[-1:]}")
    return there


def no_room_at(change, workdir, log):
    """Runs the command, with ENOSPC for a change; returns whether it came to it."""
    prefix = at(change, workdir, log, "error=ENOSPC")
    result = run("train", f"--workdir={workdir}", *WHOLE, prefix=prefix)
    print(f"{change}: {result.returncode}, {result.stderr.splitlines()[-1:]}")
    assert_quiet(result.stdout, result.stderr)
    if result.returncode:
        assert_one_line(result, "write", str(workdir))
    return result.returncode != 0


def go_through(fault, changes, expected, folder):
    """One run, faulted at every change; where it is past one, it is as if nothing had happened."""
    workdir, log = folder / "run", folder / "log"
    for change in changes:
        if not fault(change, workdir, log):
            assert_as_if_nothing_happened(workdir, expected)
            shutil.rmtree(workdir)
            assert fault(change, workdir, log)
    finish(workdir)
    assert_as_if_nothing_happened(workdir, expected)


@pytest.mark.slow
@pytest.mark.parametrize("chain", range(8))
def test_killed_at_a_change(uninterrupted, changes, tmp_path, chain):
    """SIGKILL in place of a write, a rename or a removal in the run directory: every kind."""
    chosen = sample(changes, 40, random.Random(1))
    go_through(killed_at, chosen[chain::8], uninterrupted, tmp_path)


@pytest.mark.slow
def test_killed_in_the_first_checkpoint(uninterrupted, changes, tmp_path):
    """At everything that writes it, one after another, when there is none to fall back on."""
    kinds = [change.kind for change in changes]
    writing = slice(
        kinds.index("mkdir checkpoints"), kinds.index("openat .partial-model.weights.hN")
    )
    go_through(killed_at, changes[writing], uninterrupted, tmp_path)


@pytest.mark.slow
def test_killed_at_the_last_summaries(uninterrupted, changes, tmp_path):
    """When metrics.jsonl, or a picture, may say already that there is nothing left to do."""
    writing = [change for change in changes if change.kind == "write logs/events.out"]
    go_through(killed_at, writing[-2:], uninterrupted, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("chain", range(5))
def test_no_room_for_a_change(uninterrupted, changes, tmp_path, chain):
    """ENOSPC for a write, a new file or a new folder, of every kind that has a fixed name."""
    growing = [c for c in changes if c.path is not None and c.call not in ("unlink", "rmdir")]
    chosen = sample(growing, 0, random.Random(2))
    go_through(no_room_at, chosen[chain::5], uninterrupted, tmp_path)


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, with little room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk, left):
    """Leaves so many bytes of room."""
    free = shutil.disk_usage(disk).free
    (disk / "filler").write_bytes(bytes(free - left))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("left", "options"),
    [
        pytest.param(4 << 10, [], id="settings"),
        pytest.param(12 << 10, ["--checkpoint_every=1000"], id="logs"),
        pytest.param(150_000, [], id="checkpoint"),
        pytest.param(330_000, [], id="weights"),
    ],
)
def test_a_full_disk(uninterrupted, disk, left, options):
    """It ends in one line; with room again, the same command ends the run."""
    fill(disk, left)
    workdir = disk / "run"
    result = run("train", f"--workdir={workdir}", *WHOLE, *options)
    print(result.stderr)
    assert_one_line(result, "write", str(workdir))
    (disk / "filler").unlink()
    finish(workdir)
    assert_as_if_nothing_happened(workdir, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("left", "last"), [(0, "weights"), (20 << 10, "weights"), (0, "curves"), (4 << 10, "curves")]
)
def test_a_disk_that_fills_up_at_the_end(uninterrupted, disk, left, last):
    """When all is saved, and only scores, curves or samples are to be written."""
    workdir = disk / "run"

    def reached():
        if last == "curves":
            return (workdir / "curves.png").exists()
        index = workdir / "checkpoints" / "ckpt-14.index"
        weights = workdir / "model.weights.h5"
        return index.exists() and weights.stat().st_mtime_ns > index.stat().st_mtime_ns

    process = start("train", f"--workdir={workdir}", *WHOLE)
    wait_for(reached, process)
    fill(disk, left)
    stdout, stderr = process.communicate(timeout=120)
    print(stderr)
    assert_one_line(subprocess.CompletedProcess([], process.returncode, stdout, stderr))
    (disk / "filler").unlink()
    finish(workdir)
    assert_as_if_nothing_happened(workdir, uninterrupted)


FAKETIME = next(pathlib.Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"), None)


@pytest.fixture
def clock(tmp_path):
    """An environment, and a function that sets the clock of all who live in it."""
    if FAKETIME is None:
        pytest.skip("needs Debian's faketime")
    file = tmp_path / "clock"

    def set_clock(offset):
        partial = tmp_path / "clock.partial"
        partial.write_text(offset)
        partial.replace(file)  # never read half written

    set_clock("+0d")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        # Nobody can set the monotonic clock.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    return environment, set_clock


def assert_sensible_times(workdir, stderr):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    speeds = [json.loads(line).get("steps_per_second", 1.0) for line in lines]
    assert all(0 < speed < math.inf for speed in speeds)
    left = re.findall(r"steps/s, (.*) left", stderr)
    assert left and all(re.fullmatch(r"\d+:[0-5]\d:[0-5]\d", text) for text in left)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_clock_that_jumps(uninterrupted, tmp_path, clock, seed):
    """By years, back and forth, many times a second."""
    environment, set_clock = clock
    rng, workdir = random.Random(seed), tmp_path / "run"
    options = [*WHOLE, "--checkpoint_every=1"]
    process = start("train", f"--workdir={workdir}", *options, env=environment)
    end = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < end:
        set_clock(f"{rng.randint(-3000, 3000):+}d")
        time.sleep(rng.uniform(0.01, 0.2))
    process.kill()
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert_quiet(stdout, stderr)
    assert_sensible_times(workdir, stderr)
    assert_as_if_nothing_happened(workdir, uninterrupted)
    times = [at for steps in summaries(workdir).values() for _, at in steps]
    assert max(times) - min(times) > 365 * 86400  # it did jump


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_continued_yesterday(uninterrupted, tmp_path, clock, number):
    """Stopped, the clock set back by a day, and continued."""
    environment, set_clock = clock
    workdir = tmp_path / "run"
    options = [*WHOLE, "--checkpoint_every=1"]
    process = start("train", f"--workdir={workdir}", *options, env=environment)
    wait_for((workdir / "checkpoints" / "ckpt-5.index").exists, process)
    process.send_signal(number)
    process.communicate(timeout=120)
    set_clock("-1d")
    result = finish(workdir, "--checkpoint_every=1", env=environment)
    assert re.search(r"resuming from step \d", result.stderr)
    assert_sensible_times(workdir, result.stderr)
    assert_as_if_nothing_happened(workdir, uninterrupted)
    times = [time for _, time in summaries(workdir)["learning_rate"]]
    assert max(times) - min(times) > 80_000  # it was yesterday


def interruptible():
    """What runs in the background of a shell would ignore SIGINT from the start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(process):
    """Ctrl-C, and what the command answers."""
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert_quiet(stdout, stderr)
    print(f"{process.returncode}, {(stderr or stdout).splitlines()[-1:]}")
    return process.returncode


def is_importing(process):
    """Flags are parsed, and TensorFlow is coming. Before that it is Python that answers."""
    return has_loaded(process, "libtensorflow_framework")


@pytest.mark.parametrize("library", ["_multiarray_umath", "libtensorflow_framework", "h5py"])
def test_ctrl_c_while_it_imports(tmp_path, library):
    process = start("train", f"--workdir={tmp_path}", *WHOLE, preexec_fn=interruptible)
    wait_for(lambda: has_loaded(process, library), process)
    assert interrupted(process) == 130


def test_ctrl_c_while_it_reads_images(tmp_path):
    options = [*WHOLE, "--dataset=drawn:100000"]  # which takes long
    process = start("train", f"--workdir={tmp_path}", *options, preexec_fn=interruptible)
    wait_for((tmp_path / ".lock").exists, process)
    assert interrupted(process) == 130


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_ctrl_c_at_random_moments(timed_run, tmp_path, seed):
    uninterrupted, seconds = timed_run
    process = start("train", f"--workdir={tmp_path}", *WHOLE, preexec_fn=interruptible)
    wait_for(lambda: is_importing(process), process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(random.Random(seed).uniform(0, seconds))
    assert interrupted(process) in (0, 130)  # it may have finished already
    finish(tmp_path)
    assert_as_if_nothing_happened(tmp_path, uninterrupted)


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_a_slow_save(uninterrupted, tmp_path):
    workdir, log = tmp_path / "run", tmp_path / "log"
    slow = Change("", "openat,write,pwrite64,fsync,rename", ".partial-model.weights.h5", 1)
    prefix = at(slow, workdir, log, "delay_enter=1500000")
    process = start("train", f"--workdir={workdir}", *WHOLE, prefix=prefix)
    wait_for((workdir / slow.path).exists, process)
    pid = int(log.read_text().split()[0])
    os.kill(pid, signal.SIGINT)
    time.sleep(1.5)  # what comes within a second counts for one
    os.kill(pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130 and "exiting now" in stderr, stderr
    assert "saved" not in stdout
    assert_quiet(stdout, stderr)
    assert "resuming from step 3" in finish(workdir).stderr
    assert_as_if_nothing_happened(workdir, uninterrupted)


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_a_long_drawing(tmp_path):
    """One long call of TensorFlow. What is repeated within a second counts for one."""
    options = ["--train_steps=1", "--num_samples=4000", f"--workdir={tmp_path}"]
    process = start("train", *WHOLE, *options)
    wait_for((tmp_path / "curves.png").exists, process)
    begun = seconds_worked(process)
    wait_for(lambda: seconds_worked(process) > begun + 4, process)  # it is traced
    for pause in (0.3, 1.2):
        process.send_signal(signal.SIGINT)
        time.sleep(pause)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130 and time.monotonic() - begin < 2, stderr
    assert_quiet(stdout, stderr)
    assert stderr.count("SIGINT: saving, then exiting") == stderr.count("exiting now") == 1
