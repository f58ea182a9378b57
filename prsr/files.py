"""Files that appear whole or not at all, directories for one process, and full disks."""

import contextlib
import errno
import hashlib
import os
import pathlib
import re
import sys
from collections.abc import Iterator

from prsr.errors import UserError, first_line

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_MOST_BYTES = 200  # of a name, which leaves room for what is put before and behind it
_FORBIDDEN = re.compile(r"""[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]|%(?=[0-9A-Fa-f]{2})""")


def portable(name: str) -> str:
    """A file name, without its ending, that every file system takes.

    Args:
        name: any text. Characters that some system forbids, and bytes that are not UTF-8, become
            `%XX`, from which `urllib.parse.unquote_to_bytes` makes them again. A name of more
            than 200 bytes is cut, and ends in a checksum.
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
    """A path with `~`, `~name` and `$NAME` as a shell would write them out."""
    return os.path.expanduser(os.path.expandvars(path))


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a path to write to, and moves what was written there into place.

    Args:
        path: of the file; its folder is made.

    Yields:
        A path beside it with the same ending; what is there is deleted on an error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        with open(partial, "r+b") as file:  # Windows syncs no file that is only read
            os.fsync(file.fileno())  # or a power cut could leave the new name on an empty file
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


@contextlib.contextmanager
def lock(folder: pathlib.Path, doing: str) -> Iterator[None]:
    """Makes a folder, and keeps other processes out that lock it.

    On a file system without locks it says so, and keeps nobody out.

    Args:
        folder: which.
        doing: what this process does there, such as `"training in"`.

    Raises:
        UserError: another process has it, or this one may not write there.
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
                f"'{folder}' cannot be locked ({error.strerror}): see to it yourself that no other "
                f"process is {doing} it",
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
    "earlier checkpoints are untouched: make room or permission, and run the same command again"
)


@contextlib.contextmanager
def disk_errors(
    path: str | os.PathLike[str],
    advice: str = "make room or permission, and run the same command again",
) -> Iterator[None]:
    """Turns a failed write, of Python or TensorFlow, into a `UserError`.

    Args:
        path: where to.
        advice: what to do, and what stays.
    """
    tensorflow = sys.modules.get("tensorflow")
    kinds = (OSError, tensorflow.errors.OpError) if tensorflow else OSError
    try:
        yield
    except kinds as error:
        raise UserError(f"could not write to '{path}' ({first_line(error)}); {advice}") from error
