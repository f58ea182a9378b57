"""The version of this package, which runs, records and benchmarks are stamped with."""

import functools
import pathlib
import subprocess

__version__ = "0.2.0"


@functools.cache  # of the code that runs, whatever is checked out later
def commit() -> str:
    """Returns the commit of the checkout that is running; empty for an installed package."""
    root = pathlib.Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:  # no git here
        return ""
