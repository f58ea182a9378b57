import errno
import os
import subprocess
import sys
import urllib.parse

import pytest
import tensorflow as tf

from prsr.system import files
from prsr.system.errors import UserError


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with files.replacing(path) as partial:
        partial.write_text("one")
        assert partial.suffix == ".txt" and not path.exists()
    assert path.read_text() == "one" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_or_not_at_all(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), files.replacing(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


LOCK = """
import pathlib, sys
from prsr.system import files
from prsr.system.errors import UserError
try:
    with files.lock(pathlib.Path(sys.argv[1]), "reading in"):
        print("locked")
except UserError as error:
    print(error)
"""


def test_one_process_at_a_time(tmp_path):
    folder = tmp_path / "new"

    def another():
        command = [sys.executable, "-c", LOCK, folder]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with files.lock(folder, "writing in"):
        assert another().startswith(f"another process is reading in '{folder}'")
    assert another() == "locked"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to"), files.lock(tmp_path / "file", "in"):
        pass


@pytest.mark.parametrize(
    "error", [OSError("no room"), tf.errors.ResourceExhaustedError(None, None, "no room")]
)
def test_failed_writes_of_python_and_tensorflow_are_told_in_words(error):
    with (
        pytest.raises(UserError, match=r"could not write to 'a/b' \(no room\); free some space"),
        files.disk_errors("a/b"),
    ):
        raise error
    with pytest.raises(ValueError), files.disk_errors("a/b"):
        raise ValueError


@pytest.mark.parametrize(
    "name", ["plain", "a:b", "50%41", "tab\t", "caf\udce9", "\u00fc/x\\y", "%", 'q"<>|?*']
)
def test_a_portable_name_can_be_read_back(name):
    portable = files.portable(name)
    assert not set(portable) & set('<>:"/\\|?*\t')
    assert urllib.parse.unquote_to_bytes(portable) == name.encode(errors="surrogateescape")


def test_paths_are_written_out_as_by_a_shell(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    assert files.expanded("~/x") == "/home/me/x" and files.expanded("~") == "/home/me"
    assert files.expanded("$DATA/a") == "/data/a" and files.expanded("${DATA}/~") == "/data/~"
    assert files.expanded("a~b") == "a~b" and files.expanded("$NOT_SET_HERE") == "$NOT_SET_HERE"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks(tmp_path, monkeypatch, capsys, number):
    """Lustre and NFS, as some are mounted."""

    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with files.lock(tmp_path / "new", "training in"):
        (tmp_path / "new" / "a").touch()
    (line,) = capsys.readouterr().err.splitlines()
    assert os.strerror(number) in line and "no other process is training in it" in line


WINDOWS = """
import errno, pathlib, sys, types
import prsr.system.errors
held = []
def locking(file, how, count):
    if held:
        raise OSError(errno.EACCES, "Permission denied")
    held.append(file)
sys.modules["fcntl"] = None
sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
sys.platform = "win32"
from prsr.system import files
with files.lock(pathlib.Path(sys.argv[1]), "training in"):
    try:
        with files.lock(pathlib.Path(sys.argv[1]), "training in"):
            print("twice")
    except prsr.system.errors.UserError as error:
        print(error)
"""


def test_windows_has_other_locks(tmp_path):
    """Not Windows itself: what its Python has, and what it lacks."""
    command = [sys.executable, "-c", WINDOWS, tmp_path]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout.startswith("another process is training in"), result.stderr
