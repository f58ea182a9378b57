"""Files that appear whole or not at all, and directories for one process at a time."""

import contextlib
import fcntl
import os


@contextlib.contextmanager
def replacing(path):
    """Gives a path to write to, and moves what was written there into place.

    Args:
        path: `pathlib.Path` of the file; its folder is made.

    Yields:
        A path beside it with the same ending; what is there is deleted on an error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())  # or a power cut could leave the new name on an empty file
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def lock(folder):
    """Makes a folder, and keeps other processes out that lock it, until this one ends.

    Args:
        folder: `pathlib.Path`.

    Returns:
        The open lock file, to be kept.

    Raises:
        BlockingIOError: another process has it.
        OSError: this one may not write there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / ".lock", "w")  # noqa: SIM115 (it is to stay open)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file
