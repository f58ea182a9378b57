"""Progress and time left, on standard error."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Nothing reaches standard error for a while, not from libraries nor from new processes."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


_said: set[str] = set()


def say_once(line: str) -> None:
    """Says a line on standard error, once in a command, however often it is found."""
    if line not in _said:
        _said.add(line)
        print(line, file=sys.stderr)


def begin() -> None:
    """A new command begins: what an earlier one said may be said again."""
    _said.clear()


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


class Progress:
    """Says how far a long loop is, at most every few seconds.

    Args:
        what: what is being done.
        total: how many there are to do.
        every: least seconds between two lines.
    """

    def __init__(self, what: str, total: int, every: float = 5.0):
        self.what, self.total, self.every = what, total, every
        self.start = self.last = time.monotonic()

    def update(self, done: int) -> None:
        """Call with how many are done."""
        now = time.monotonic()
        if now - self.last >= self.every:
            self.last = now
            left = (now - self.start) / max(done, 1) * max(self.total - done, 0)
            print(f"{self.what}: {done:,} of {self.total:,}, {clock(left)} left", file=sys.stderr)
