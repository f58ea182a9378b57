"""Handles signals to stop, so that training can finish and save its current step."""

import contextlib
import os
import signal
import threading
import time

# Ctrl-C; kill, and machines that shut down; a closed terminal; SLURM's warning of the time limit.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  # Windows lacks the last two
SIGNALS = tuple(number for number in signal.Signals if number.name in _NAMES)


@contextlib.contextmanager
def collected():
    """Collects `SIGNALS`, so that training can finish and save its current step.

    A signal that the parent process ignores, as `nohup` does, stays ignored. Another signal, a
    second or more after the first, exits immediately.
    """
    caught = []
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def listen():
        # In its own thread, because Python's handlers wait until TensorFlow's call returns.
        first = 0.0
        while byte := os.read(reader, 1):
            number = byte[0]
            if number not in before:
                continue
            if not caught:
                first = time.monotonic()
                with contextlib.suppress(OSError):  # the terminal may be gone
                    os.write(2, f"{signal.Signals(number).name}: saving, then exiting\n".encode())
            elif time.monotonic() - first > 1:
                with contextlib.suppress(OSError):
                    os.write(2, b"exiting now; the same command resumes from the last save\n")
                os._exit(128 + number)
            caught.append(number)
        os.close(reader)

    before = {
        number: signal.signal(number, lambda *_: None)
        for number in SIGNALS
        if signal.getsignal(number) != signal.SIG_IGN
    }
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=listen, daemon=True).start()
    try:
        yield caught
    finally:
        signal.set_wakeup_fd(woken)
        for number, action in before.items():
            signal.signal(number, action)
        os.close(writer)
