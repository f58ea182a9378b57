"""What a container or a scheduler grants of a host."""

import os

import pytest

from prsr.system import host


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A function that writes files of a made-up host with 48 cores."""
    monkeypatch.setattr(host, "_ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(48)), raising=False)

    def write(contents):
        for name, content in contents.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)

    return write


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("150000 100000", 2), ("max 100000", 48), ("50000 100000", 1), ("", 48), ("x y", 48)],
)
def test_a_quota_limits_the_cores(files, quota, cores):
    assert host.cores() == 48
    files({"proc/self/cgroup": "0::/job/step\n", "sys/fs/cgroup/job/cpu.max": quota})
    assert host.cores() == cores


def test_a_host_without_control_groups_has_its_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "_ROOT", tmp_path)
    assert host.cores() >= 1
