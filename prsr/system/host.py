"""Finds the cores available to this process, within its container's limits."""

import contextlib
import math
import os
import pathlib
import re

_ROOT = pathlib.Path("/")


def cores() -> int:
    """Returns the number of cores, by this process' affinity and its control groups' quotas."""
    affine = hasattr(os, "sched_getaffinity")  # Linux; Python 3.13 has os.process_cpu_count
    count = len(os.sched_getaffinity(0)) if affine else os.cpu_count() or 1
    for group in _control_groups():
        with contextlib.suppress(OSError, ValueError):  # "max" is no quota
            quota, period = map(int, (group / "cpu.max").read_text("utf-8").split())
            count = min(count, math.ceil(quota / period))
    return max(1, count)


def _control_groups() -> list[pathlib.Path]:
    """Returns the folders of this process' control groups (version 2), innermost first."""
    with contextlib.suppress(OSError):
        text = (_ROOT / "proc/self/cgroup").read_text("utf-8", "replace")
        if path := re.search(r"^0::/(.*)$", text, re.M):
            inner = pathlib.PurePosixPath(path[1])
            return [_ROOT / "sys/fs/cgroup" / group for group in (inner, *inner.parents)]
    return []
