"""Prints progress and the time left to standard error."""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Iterator


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Silences standard error inside the context, for libraries and new processes as well."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@functools.cache
def say_once(line: str) -> None:
    """Prints a line to standard error, at most once per command."""
    print(line, file=sys.stderr)


def counted(count: int, noun: str) -> str:
    """Formats a count with its noun, such as "1 image" or "1,024 images"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def clock(seconds: float) -> str:
    """Formats seconds as h:mm:ss."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


class Progress:
    """Prints how many of `total` items of a long loop are done, every so many seconds at most."""

    def __init__(self, what: str, total: int, every: float = 5.0):
        self.what, self.total, self.every = what, total, every
        self.start = self.last = time.monotonic()

    def update(self, done: int) -> None:
        """Reports that `done` items are finished."""
        now = time.monotonic()
        if now - self.last >= self.every:
            self.last = now
            left = (now - self.start) / max(done, 1) * max(self.total - done, 0)
            print(f"{self.what}: {done:,} of {self.total:,}, {clock(left)} left", file=sys.stderr)
