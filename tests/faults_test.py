"""Faults around a run: whatever happens, the same command ends as if nothing had happened."""

import collections
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from typing import NamedTuple

import pytest

from prsr.workdir.directory import Workdir
from tests.conftest import WHOLE, assert_one_line, run, start, succeed
from tests.runs import assert_same_weights, has_loaded, summaries, wait_for


@pytest.fixture(scope="module")
def timed_run(uninterrupted, tmp_path_factory):
    """A run that nothing happened to, and the seconds that such a run takes."""
    begin = time.monotonic()
    finish(tmp_path_factory.mktemp("timed") / "run")
    return uninterrupted, time.monotonic() - begin


def finish(workdir, *options, **how):
    """Runs the command once more, which continues to the end."""
    return succeed(run("train", f"--workdir={workdir}", *WHOLE, *options, **how))


def assert_quiet(stdout, stderr):
    assert "Traceback" not in stdout + stderr, stderr


def records(workdir):
    """What metrics.jsonl says, without the speeds."""
    return [
        {name: value for name, value in record.items() if "per_second" not in name}
        for record in Workdir(workdir).read_metrics()
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


def ended(process, number):
    """The exit status of a process after a signal."""
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert_quiet(stdout, stderr)
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("seed", range(12))
def test_a_run_ended_at_a_random_moment_continues(timed_run, tmp_path, seed, number):
    """SIGKILL strikes from the first import on, Ctrl-C once flags are parsed."""
    uninterrupted, seconds = timed_run
    process = start("train", f"--workdir={tmp_path}", *WHOLE)
    if number == signal.SIGINT:
        wait_for(lambda: has_loaded(process, "libtensorflow_framework"), process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(random.Random(seed).uniform(0, seconds))
    assert ended(process, number) in (0, -signal.SIGKILL if number == signal.SIGKILL else 130)
    finish(tmp_path)
    assert_as_if_nothing_happened(tmp_path, uninterrupted)


def strace(log, *options):
    """A prefix that traces a process and its threads."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-o", str(log), *options]


class Change(NamedTuple):
    """A system call by which a run changes its directory."""

    kind: str  # what it is for, whatever the step
    call: str  # its name
    path: str | None  # in the run directory; None if it has another name in every run
    nth: int  # which of the main thread's calls on this path, or on any path, it is


# A process whose unfinished files have the same names in every run.
SAME_NAMES = (
    "-c",
    "import os, runpy; os.getpid = lambda: 2; "
    "runpy.run_module('prsr.train', run_name='__main__', alter_sys=True)",
)
CALLS = ("openat", "write", "pwrite64", "rename", "unlink", "mkdir", "rmdir", "ftruncate")


@pytest.fixture(scope="module")
def changes(tmp_path_factory):
    """Every `Change` of a run, in order."""
    folder = tmp_path_factory.mktemp("traced")
    workdir, log = folder / "run", folder / "log"
    tracing = strace(log, "-e", f"trace={','.join(CALLS)}")
    finish(workdir, prefix=tracing, program=SAME_NAMES)
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
    options = [f"--workdir={workdir}", *WHOLE]
    process = start("train", *options, prefix=prefix, program=SAME_NAMES)
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
    options = [f"--workdir={workdir}", *WHOLE]
    result = run("train", *options, prefix=prefix, program=SAME_NAMES)
    print(f"{change}: {result.returncode}, {result.stderr.splitlines()[-1:]}")
    assert_quiet(result.stdout, result.stderr)
    if result.returncode:
        assert_one_line(result, str(workdir))
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
def test_a_run_killed_at_a_change_continues(uninterrupted, changes, tmp_path, chain):
    """SIGKILL replaces a write, a rename or a removal in the run directory, of every kind."""
    chosen = sample(changes, 40, random.Random(1))
    go_through(killed_at, chosen[chain::8], uninterrupted, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("chain", range(5))
def test_a_run_continues_after_a_full_disk(uninterrupted, changes, tmp_path, chain):
    """ENOSPC meets a write, a new file or a new folder, of every kind with a fixed name."""
    growing = [c for c in changes if c.path is not None and c.call not in ("unlink", "rmdir")]
    chosen = sample(growing, 0, random.Random(2))
    go_through(no_room_at, chosen[chain::5], uninterrupted, tmp_path)


@pytest.mark.parametrize("library", ["_multiarray_umath", "libtensorflow_framework", "h5py"])
def test_ctrl_c_during_an_import_exits_with_130(tmp_path, library):
    process = start("train", f"--workdir={tmp_path}", *WHOLE)
    wait_for(lambda: has_loaded(process, library), process)
    assert ended(process, signal.SIGINT) == 130


def test_ctrl_c_while_images_are_read_exits_with_130(tmp_path):
    options = [*WHOLE, "--dataset=drawn:100000"]  # which takes long
    process = start("train", f"--workdir={tmp_path}", *options)
    wait_for((tmp_path / ".lock").exists, process)
    assert ended(process, signal.SIGINT) == 130
