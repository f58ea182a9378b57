"""Small studies for the tests."""

import contextlib
import secrets

import numpy as np

from prsr.pages.study import directory
from prsr.pages.study.protocol import Protocol
from prsr.pages.study.store import Store
from tests.conftest import start

SMALL = Protocol(practice=2, pairs=3, golden=1, exposure_ms=20, workers=2)


def make(path, protocol=SMALL, images=8, size=8, channels=3, methods=("regression", "tau_1")):
    """A study of images that are noise; `truth` is brightest, `bicubic` flat grey."""
    rng = np.random.default_rng(0)

    def noise(low, high):
        return rng.integers(low, high, (images, size, size, channels)).astype(np.uint8)

    pictures = {method: noise(0, 100) for method in methods}
    flat = np.arange(images, dtype=np.uint8).reshape(-1, 1, 1, 1)
    pictures["bicubic"] = np.broadcast_to(flat + 100, (images, size, size, channels))
    pictures["truth"] = noise(150, 256)
    table = {"run": "runs/noise", "test_images": images}
    table["rows"] = [
        {"method": method, "title": method.title(), "psnr": {"mean": 10.0, "standard_error": 1.0}}
        for method in methods
    ]
    data = directory.DataSet("noise", [f"{i}.png" for i in range(images)], table)
    algorithms = [directory.Algorithm("noise", method, method.title()) for method in methods]
    return directory.prepare(path, [data], {"noise": pictures}, algorithms, "nearest", protocol)


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self):
        return self.now


def open_store(study, clock=None, abandoned_after=100.0):
    return Store(study, abandoned_after, clock or Clock())


def begin(store, worker=None):
    """Begins a session; returns its token."""
    token = secrets.token_urlsafe(32)
    store.begin(token, worker)
    return token


@contextlib.contextmanager
def serving(study, *flags, port=0):
    """Serves a study in a process of its own; yields its address."""
    process = start("study", "serve", f"--study={study.path}", f"--port={port}", *flags)
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=60)
