"""Writes files atomically, locks directories, and reports disk errors."""

import contextlib
import errno
import hashlib
import os
import pathlib
import re
import sys
from collections.abc import Iterator

from prsr.system.errors import UserError, first_line

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_MOST_BYTES = 200  # of a name, which leaves room for a prefix and an extension
_FORBIDDEN = re.compile(r"""[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]|%(?=[0-9A-Fa-f]{2})""")


def portable(name: str) -> str:
    """Returns a file name, without extension, that is valid on every file system.

    Args:
        name: any text. Characters that some system forbids, and bytes that are not UTF-8, become
            `%XX`, which `urllib.parse.unquote_to_bytes` reverses. A name of more than 200 bytes is
            truncated and ends in a checksum.
    """

    def escaped(match: re.Match[str]) -> str:
        content = match[0].encode(errors="surrogateescape")
        return "".join(f"%{byte:02X}" for byte in content)

    content = _FORBIDDEN.sub(escaped, name).encode()
    if len(content) <= _MOST_BYTES:
        return content.decode()
    checksum = hashlib.blake2b(content, digest_size=4).hexdigest()
    return f"{content[: _MOST_BYTES - 9].decode(errors='ignore')}~{checksum}"


def expanded(path: str) -> str:
    """Expands `~`, `~name` and `$NAME` in a path, as a shell does."""
    return os.path.expanduser(os.path.expandvars(path))


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary path to write to, then moves the file into place.

    Args:
        path: path of the file; its folder is made.

    Yields:
        A path beside it with the same extension. On an error it is deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        with open(partial, "r+b") as file:  # Windows cannot sync read-only files
            os.fsync(file.fileno())  # or a power cut could leave the new name on an empty file
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


@contextlib.contextmanager
def lock(folder: pathlib.Path, doing: str) -> Iterator[None]:
    """Makes a folder and locks it against other processes.

    On a file system without locks it prints a warning instead.

    Args:
        folder: the folder.
        doing: what this process does there, such as `"training in"`.

    Raises:
        UserError: another process has the lock, or the folder is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "w")  # noqa: SIM115 (closed below, which unlocks it)
    except OSError as error:
        raise UserError(f"cannot write to '{folder}': {error}") from error
    with file:
        try:
            _lock(file.fileno())
        except OSError as error:
            if error.errno in _IS_LOCKED:
                raise UserError(
                    f"another process is {doing} '{folder}'; wait for it or stop it"
                ) from error
            print(
                f"cannot lock '{folder}' ({error.strerror}): make sure that no other process is "
                f"{doing} it",
                file=sys.stderr,
            )
        yield


_IS_LOCKED = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)


def _lock(file: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


CHECKPOINTS_STAY = (
    "earlier checkpoints are intact: free some space or fix permissions, then run the command again"
)


@contextlib.contextmanager
def disk_errors(
    path: str | os.PathLike[str],
    advice: str = "free some space or fix permissions, then run the command again",
) -> Iterator[None]:
    """Turns a failed write by Python or TensorFlow into a `UserError`.

    Args:
        path: the path being written.
        advice: what to do, and what was kept.
    """
    tensorflow = sys.modules.get("tensorflow")
    kinds = (OSError, tensorflow.errors.OpError) if tensorflow else OSError
    try:
        yield
    except kinds as error:
        raise UserError(f"could not write to '{path}' ({first_line(error)}); {advice}") from error
