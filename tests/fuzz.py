"""Searches, guided by coverage, for files that the package's own parsers do not refuse rightly.

    pip install atheris
    PYTHONPATH=. python tests/fuzz.py idx|settings|records|flagfile [libFuzzer options]

`-max_total_time=180` ends it after so many seconds. What is neither read rightly nor refused
with the documented error ends it at once, and the file that led there is then `crash-...`. Its
like belongs into the examples of `hostile_test.py`, whose properties these are.
"""

import contextlib
import pathlib
import sys
import tempfile

import atheris
import pytest

PARSERS = [
    "prsr.data.sources",
    "prsr.data.records",
    "prsr.hparams",
    "prsr.workdir.directory",
    "prsr.flags",
]

with atheris.instrument_imports([*PARSERS, "absl.flags"]):
    from prsr.data import records
    from prsr.system.errors import UserError
    from prsr.workdir.directory import Workdir
    from tests import hostile_test

IMAGES = "train-images-idx3-ubyte"
FLAGS = b"--workdir=a\n# b\n--tau=1.5\n--nomirror\n--image_size 8\n--crop=mnist\n--undefok=c\n"


def idx(folder, content):
    with contextlib.suppress(UserError):
        hostile_test.read_digits(folder, hostile_test.DIGITS | {IMAGES: content})


def settings(folder, content):
    (folder / "settings.json").write_bytes(content)
    with contextlib.suppress(UserError):
        Workdir(folder).read_hparams().check()


def record_files(folder, content):
    (folder / "train-00000.tfrecord").write_bytes(content)
    images = hostile_test.read_records(folder) or []
    assert all(image in hostile_test.TRUE.tolist() for image in images)


def flagfile(folder, content):
    (folder / "flags").write_bytes(content)
    stderr = hostile_test.parse(pytest.MonkeyPatch(), f"--flagfile={folder / 'flags'}")
    assert "Traceback" not in stderr


# For each target, the function, and one that writes a first file to change.
TARGETS = {
    "idx": (idx, lambda path: path.write_bytes(hostile_test.DIGITS[IMAGES])),
    "settings": (settings, lambda path: path.write_bytes(hostile_test.SETTINGS)),
    "records": (record_files, lambda path: records.write(path, hostile_test.TRUE)),
    "flagfile": (flagfile, lambda path: path.write_bytes(FLAGS)),
}


def main():
    parse, write_seed = TARGETS[sys.argv[1]]
    folder, corpus = pathlib.Path(tempfile.mkdtemp()), tempfile.mkdtemp()
    write_seed(pathlib.Path(corpus) / "seed")
    options = ["-rss_limit_mb=4096", "-timeout=20", *sys.argv[2:], corpus]
    atheris.Setup([sys.argv[0], *options], lambda content: parse(folder, content))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
