import errno
import os
import urllib.parse
from unittest import mock

import filelock
import pytest
import tensorflow as tf

from prsr.system import files
from prsr.system.errors import UserError
from tests.conftest import python


@pytest.fixture(params=["file", "folder"])
def write(request):
    """A function that writes a text to a path, as a file or into a folder."""

    def write(path, text):
        if request.param == "folder":
            path.mkdir()
            path /= "inside"
        path.write_text(text)

    return write


def test_a_file_or_folder_appears_whole(tmp_path, write):
    path = tmp_path / "new" / "a.txt"
    with files.replacing(path) as partial:
        write(partial, "one")
        assert partial.suffix == ".txt" and not path.exists()
    assert path.exists() and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_alone(tmp_path, write, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), files.replacing(path) as partial:
        write(partial, "half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_two_processes_writing_one_file_do_not_mix(tmp_path, monkeypatch):
    path = tmp_path / "a"
    with files.replacing(path) as partial:
        partial.write_text("ours")
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with files.replacing(path) as other:
            other.write_text("theirs")
        assert path.read_text() == "theirs" and partial.read_text() == "ours"
    assert path.read_text() == "ours"


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


def test_a_locked_folder_is_refused_to_other_processes(tmp_path):
    folder = tmp_path / "new"

    def another():
        return python("-c", LOCK, folder).strip()

    with files.lock(folder, "writing in"):
        assert another().startswith(f"another process is reading in '{folder}'")
    assert another() == "locked"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"), files.lock(tmp_path / "file", "in"):
        pass


@pytest.mark.parametrize(
    "error", [OSError("no room"), tf.errors.ResourceExhaustedError(None, None, "no room")]
)
def test_failed_writes_of_python_and_tensorflow_name_path_and_cause(error):
    with (
        pytest.raises(UserError, match="a/b.*no room"),
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


def test_a_file_system_without_locks_gives_a_warning(tmp_path, monkeypatch, capsys):
    """Some Lustre and NFS mounts have no locks."""
    error = OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    monkeypatch.setattr(filelock.FileLock, "acquire", mock.Mock(side_effect=error))
    with files.lock(tmp_path / "new", "training in"):
        (tmp_path / "new" / "a").touch()
    (line,) = capsys.readouterr().err.splitlines()
    assert os.strerror(errno.ENOLCK) in line and "no other process is training in it" in line


def test_a_lock_deletes_partial_files_of_killed_processes(tmp_path):
    (tmp_path / "samples").mkdir()
    (tmp_path / ".partial-1-export").mkdir()
    for name in (".partial-1-a", "samples/.partial-2-b.png", "kept", ".partial-1-export/c"):
        (tmp_path / name).touch()
    with files.lock(tmp_path, "writing in"):
        names = {path.name for path in tmp_path.rglob("*")}
    assert names == {".lock", "samples", "kept"}
