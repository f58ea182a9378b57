"""Finds the cores available to this process, within its container's limits."""

import math
import os
import pathlib
import re

_ROOT = pathlib.Path("/")


def cores() -> int:
    """Returns the number of cores, by this process' affinity and its control groups' quotas."""
    affine = hasattr(os, "sched_getaffinity")  # Linux; Python 3.13 has os.process_cpu_count
    count = len(os.sched_getaffinity(0)) if affine else os.cpu_count() or 1
    for group in _groups():
        quota = _number(group / "cpu.max", r"^(\d+) ")
        if quota < math.inf:
            count = min(count, math.ceil(quota / _number(group / "cpu.max", r" (\d+)$")))
    return max(1, count)


def _groups() -> list[pathlib.Path]:
    """Returns the folders of this process' control groups (version 2), innermost first."""
    try:
        path = re.search(
            r"^0::/(.*)$", (_ROOT / "proc/self/cgroup").read_text("utf-8", "replace"), re.M
        )
    except OSError:
        path = None
    if path is None:
        return []
    inner = pathlib.PurePosixPath(path[1])
    return [_ROOT / "sys/fs/cgroup" / group for group in (inner, *inner.parents)]


def _number(path: pathlib.Path, pattern: str) -> float:
    """Returns the first number that a pattern finds in a file; infinity if there is none."""
    try:
        found = re.search(pattern, path.read_text("utf-8", "replace"), re.M)
    except OSError:
        return math.inf
    return float(found[1]) if found else math.inf
