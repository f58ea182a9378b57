"""What a container or a scheduler grants of a host."""

import os

import pytest

from prsr.system import host


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A function that writes files of a made-up host with 48 cores and 1,024,000,000 bytes."""
    monkeypatch.setattr(host, "_ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(48)), raising=False)

    def write(contents):
        for name, content in contents.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)

    write({"proc/meminfo": "MemTotal: 99 kB\nMemAvailable: 1000000 kB\n"})
    return write


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("150000 100000", 2), ("max 100000", 48), ("50000 100000", 1), ("", 48), ("x y", 48)],
)
def test_quotas_limit_the_cores_of_an_affinity(files, quota, cores):
    assert host.cores() == 48
    files({"proc/self/cgroup": "0::/job/step\n", "sys/fs/cgroup/job/cpu.max": quota})
    assert host.cores() == cores


def test_a_container_limits_memory_but_not_what_caches_hold(files):
    folder = "sys/fs/cgroup/job"
    files(
        {
            "proc/self/cgroup": "0::/job\n",
            f"{folder}/memory.max": "5000",
            f"{folder}/memory.current": "3000",
            f"{folder}/memory.stat": "anon 1\ninactive_file 500\n",
        }
    )
    assert host.memory() == 2500
    files({f"{folder}/memory.max": "max"})
    assert host.memory() == 1_024_000_000


def test_a_host_without_such_files(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "_ROOT", tmp_path)
    assert host.cores() >= 1 and host.memory() == 2**62
