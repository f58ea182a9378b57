"""Signals are collected while they are waited for, and no longer."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from prsr.training import interrupts
from tests.runs import wait_for


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_is_kept_for_the_loop(capfd, number):
    """Ctrl-C, kill, a closed terminal and SLURM's warning are collected and announced."""
    before = [signal.getsignal(one) for one in interrupts.SIGNALS]
    with interrupts.collected() as caught:
        assert caught == []
        os.kill(os.getpid(), number)
        wait_for(lambda: caught)
    assert caught == [number]
    assert f"{signal.Signals(number).name}: saving, then exiting" in capfd.readouterr().err
    assert before == [signal.getsignal(one) for one in interrupts.SIGNALS]


def test_an_ignored_signal_stays_ignored():
    """As after `nohup`, or in a shell script's background job."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.collected() as caught:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
            wait_for(lambda: caught)
        assert caught == [signal.SIGTERM] and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_nothing_is_left_behind():
    """No thread and no wake-up descriptor for signals remains."""
    before = set(threading.enumerate())
    with interrupts.collected() as caught:
        assert len(set(threading.enumerate()) - before) == 1
    wait_for(lambda: set(threading.enumerate()) <= before)
    assert caught == [] and signal.set_wakeup_fd(-1) == -1


BUSY = """
import hashlib, sys, time
from prsr.training import interrupts
with interrupts.collected() as caught:
    print("ready", flush=True)
    while not caught:
        time.sleep(0.01)
    print("caught", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # no Python runs for a long time
"""


def test_a_second_signal_exits_at_once():
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "caught\n"
        end = time.monotonic() + 60
        while process.poll() is None:  # what comes within a second counts for one
            assert time.monotonic() < end
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert process.returncode == 128 + signal.SIGTERM
        assert process.stderr.read().count("exiting now") == 1
    finally:
        process.kill()
        process.communicate()
