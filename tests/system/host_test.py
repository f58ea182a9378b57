"""What a container or a scheduler grants of a host."""

import os

import pytest

from prsr.system import host

PLENTY = "MemTotal: 99 kB\nMemAvailable: 1000000 kB\n"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A function that writes files of a made-up host."""
    monkeypatch.setattr(host, "_ROOT", tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 96)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(48)), raising=False)

    def write(contents):
        for name, content in contents.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)

    write({"proc/meminfo": PLENTY})
    return write


def test_affinity_counts(files):
    assert host.cores() == 48


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("150000 100000", 2), ("max 100000", 48), ("50000 100000", 1), ("", 48), ("x y", 48)],
)
def test_a_quota_of_version_2_counts(files, quota, cores):
    files({"proc/self/cgroup": "0::/job/step\n", "sys/fs/cgroup/job/cpu.max": quota})
    assert host.cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("400000", 4), ("-1", 48)])
def test_a_quota_of_version_1_counts(files, quota, cores):
    files(
        {
            "proc/self/cgroup": "3:cpu,cpuacct:/job\n1:memory:/job\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": quota,
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        }
    )
    assert host.cores() == cores


def test_free_memory(files):
    assert host.memory() == 1_024_000_000


def test_the_memory_of_a_container(files):
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


def test_a_host_that_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "_ROOT", tmp_path)
    assert host.cores() >= 1 and host.memory() == 2**62
