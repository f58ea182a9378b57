"""Handles SIGINT and SIGTERM, so that training can finish and save its current step."""

import contextlib
import os
import signal
import threading
import time


@contextlib.contextmanager
def collected():
    """Collects SIGINT and SIGTERM, so that training can finish and save its current step.

    Another signal, a second or more after the first, exits immediately.
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
                os.write(2, f"{signal.Signals(number).name}: saving, then exiting\n".encode())
            elif time.monotonic() - first > 1:
                os.write(2, b"exiting now; run the same command to resume from the last save\n")
                os._exit(128 + number)
            caught.append(number)
        os.close(reader)

    before = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)
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
