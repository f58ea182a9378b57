"""Prints progress and the time left to standard error, whether or not anybody reads."""

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


class _Unread:
    """A text stream that drops what cannot be written, such as after `head` has read enough."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        self._attempt(self._stream.write, text)

    def flush(self):
        self._attempt(self._stream.flush)

    def _attempt(self, function, *arguments):
        try:
            function(*arguments)
        except OSError:
            with open(os.devnull, "wb") as nowhere:  # for what is buffered, and for libraries
                os.dup2(nowhere.fileno(), self._stream.fileno())


@contextlib.contextmanager
def unread() -> Iterator[None]:
    """Within it, printing never fails: nobody reading is no reason to stop."""
    out, err = (stream and _Unread(stream) for stream in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield
        finally:
            print(end="", flush=True)
            print(end="", flush=True, file=sys.stderr)


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
