"""Writes files atomically, locks directories, and reports disk errors."""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from urllib.parse import quote

from prsr.system.errors import UserError, first_line

_MAX_BYTES = 200  # of a name, which leaves room for a prefix and an extension
_PARTIAL = ".partial-"  # how the names of unfinished files begin
_FORBIDDEN = re.compile(r"""[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]|%(?=[0-9A-Fa-f]{2})""")

_NAME = re.compile(r"^[\w.-]+=")


def portable(name: str) -> str:
    """Returns a file name, without extension, that is valid on every file system.

    Characters that some system forbids, and bytes that are not UTF-8, become `%XX`, which
    `urllib.parse.unquote_to_bytes` reverses. A name of more than 200 bytes is truncated and ends in
    a checksum.
    """
    escaped = _FORBIDDEN.sub(lambda m: quote(m[0], safe="", errors="surrogateescape"), name)
    content = escaped.encode()
    if len(content) <= _MAX_BYTES:
        return content.decode()
    checksum = hashlib.blake2b(content, digest_size=4).hexdigest()
    return f"{content[: _MAX_BYTES - 9].decode(errors='ignore')}~{checksum}"


def split(paths: str) -> list[str]:
    """Splits PATH,PATH or NAME=PATH,NAME=PATH; a comma may also be part of an existing path."""
    parts, found = paths.split(",") if paths else [], []
    while parts:
        joined = [",".join(parts[:count]) for count in range(len(parts), 0, -1)]
        exist = (x for x in joined if os.path.exists(x) or os.path.exists(_NAME.sub("", x)))
        found.append(next(exist, parts[0].strip()))
        parts = parts[found[-1].count(",") + 1 :]
    return found


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary path for a new file or folder, then moves it into place.

    The folder around `path` is made; a file that is there is replaced. The temporary path is beside
    it, has the same extension, and is used by no other process. On an error, what is there is
    deleted; `lock` deletes what a killed process left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{_PARTIAL}{os.getpid()}-{path.name}")
    try:
        yield partial
        if not partial.is_dir():
            with open(partial, "r+b") as file:  # Windows cannot sync read-only files
                os.fsync(file.fileno())  # or a power cut could leave the new name on an empty file
        os.replace(partial, path)
    except BaseException:
        _delete(partial)
        raise


@contextlib.contextmanager
def without_wildcards(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a path of a folder in which TensorFlow can read checkpoints, whatever its name.

    TensorFlow takes the path of a checkpoint as a pattern, so a folder called `[a]` is not found.
    """
    if not set(str(folder)) & (set("[*?\\") - {os.sep}):
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        link = pathlib.Path(temporary, "folder")
        link.symlink_to(folder.absolute(), target_is_directory=True)
        yield link


def _delete(path: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_text(path: pathlib.Path, text: str, mode: int = 0o666) -> None:
    """Writes UTF-8 as `replacing` does; bytes of names that are not UTF-8 become `\\udcXX`."""
    with replacing(path) as partial:
        partial.touch(mode)
        partial.write_text(text, "utf-8", "backslashreplace", newline="")


@contextlib.contextmanager
def lock(folder: pathlib.Path, doing: str) -> Iterator[None]:
    """Makes a folder, locks it against other processes, and deletes what killed ones left.

    On a file system without locks it prints a warning instead.

    Args:
        doing: what this process does there, such as `"training in"`.

    Raises:
        UserError: another process has the lock, or the folder is not writable.
    """
    import filelock  # takes longer to import than all of this package

    held: contextlib.AbstractContextManager = contextlib.nullcontext()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = filelock.FileLock(folder / ".lock", timeout=0).acquire()
    except filelock.Timeout as error:
        raise UserError(f"another process is {doing} '{folder}'; wait for it or stop it") from error
    except OSError as error:
        if error.filename is not None:  # a folder or file that cannot be made
            raise UserError(f"cannot write to '{folder}': {error}") from error
        print(
            f"cannot lock '{folder}' ({error.strerror}): make sure that no other process is "
            f"{doing} it",
            file=sys.stderr,
        )
    with held:
        for leftover in (*folder.glob(f"{_PARTIAL}*"), *folder.glob(f"*/{_PARTIAL}*")):
            _delete(leftover)
        yield


CHECKPOINTS_STAY = "earlier checkpoints are intact: "


@contextlib.contextmanager
def disk_errors(path: str | os.PathLike[str], kept: str = "") -> Iterator[None]:
    """Turns a failed write to `path` by Python or TensorFlow into a `UserError` with advice."""
    tensorflow = sys.modules.get("tensorflow")
    kinds = (OSError, tensorflow.errors.OpError) if tensorflow else OSError
    try:
        yield
    except kinds as error:
        raise UserError(
            f"could not write to '{path}' ({first_line(error)}); {kept}free some space or fix "
            f"permissions, then run the command again"
        ) from error
