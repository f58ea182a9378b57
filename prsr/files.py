"""Files that appear whole or not at all."""

import contextlib
import os


@contextlib.contextmanager
def replacing(path):
    """Gives a path to write to, and moves what was written there into place.

    Args:
        path: `pathlib.Path` of the file; its folder is made.

    Yields:
        A path beside it with the same ending.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    yield partial
    os.replace(partial, path)
