"""Finds the cores and memory available to this process, within its container's limits."""

import contextlib
import math
import os
import pathlib


def cores() -> int:
    """Returns the number of cores, by affinity and the quotas of this process' control groups."""
    count = float(os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        count = min(count, len(os.sched_getaffinity(0)))
    for quota, period in (
        *(_numbers(folder / "cpu.max", 2) for folder in _groups("")),
        *(
            _numbers(folder / "cpu.cfs_quota_us", 1) + _numbers(folder / "cpu.cfs_period_us", 1)
            for folder in _groups("cpu")
        ),
    ):
        if 0 < quota < math.inf and 0 < period < math.inf:
            count = min(count, quota / period)
    return max(1, math.ceil(count))


def memory() -> int:
    """Returns the free bytes of memory, on the host and within this process' control groups."""
    free = [math.inf]
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = (_ROOT / "proc/meminfo").read_text()
        free.append(1024 * int(text.split("MemAvailable:")[1].split()[0]))
    for controller, most, used in (
        ("", "memory.max", "memory.current"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        for folder in _groups(controller):
            (limit,), (held,) = _numbers(folder / most, 1), _numbers(folder / used, 1)
            cached = _cached(folder)
            if limit < math.inf and held < math.inf:
                free.append(max(0, limit - held + cached))
    return int(min(*free, 2**62))


_ROOT = pathlib.Path("/")


def _groups(controller: str) -> list[pathlib.Path]:
    """Returns the folders of this process' control groups, innermost first; "" is version 2."""
    mounted = _ROOT / "sys/fs/cgroup" / controller
    with contextlib.suppress(OSError, ValueError):
        for line in (_ROOT / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                own = pathlib.PurePosixPath(path.lstrip("/"))
                return [mounted / part for part in (own, *own.parents)]
    return []


def _numbers(path: pathlib.Path, count: int) -> list[float]:
    """Reads `count` numbers from a file; "max" and missing numbers become infinity."""
    with contextlib.suppress(OSError, ValueError):
        words = path.read_text().split()
        found = [math.inf if word == "max" else float(word) for word in words]
        if len(found) == count:
            return found
    return [math.inf] * count


def _cached(folder: pathlib.Path) -> float:
    """Returns the bytes of cached files, which a group frees when memory is needed."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        lines = (folder / "memory.stat").read_text().splitlines()
        found = dict(line.split()[:2] for line in lines)
        return float(found.get("inactive_file", found.get("total_inactive_file", 0)))
    return 0.0
