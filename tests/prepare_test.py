"""python -m prsr.prepare, also killed, at once and without room."""

import json
import os
import resource
import signal

import numpy as np
import pytest

from prsr.data import letters, preparation, preprocessing, records
from prsr.hparams import DataHparams
from prsr.system.errors import UserError
from tests.conftest import PREPARED, assert_one_line, call, run, start, succeed
from tests.data.pictures import letter
from tests.data.preparation_test import DATA, content, images
from tests.runs import wait_for


def test_unusable_images_are_counted(tmp_path):
    folder = tmp_path / "images"
    for split, count in (("train", 5), ("val", 2)):
        (folder / split).mkdir(parents=True)
        for i in range(count):
            (folder / split / f"{i}.png").write_bytes(letter(i, "PNG"))
    for i in (0, 1, 4):
        (folder / "train" / f"{i}.png").write_bytes(b"no image")
    options = [f"--dataset=folder:{folder}", "--image_size=8", "--images_per_file=2"]
    result = succeed(call("prepare", *options, f"--output={tmp_path / 'records'}"))
    assert "train: 2 images in 1 file(s), 3 skipped" in result.stdout
    assert "skipped 3 of 5 train images: train/0.png" in result.stderr
    expected = [preprocessing.stored(np.asarray(letters.render(i)), DATA) for i in (2, 3)]
    np.testing.assert_array_equal(images(tmp_path / "records", "train"), expected)
    data = DataHparams(f"folder:{folder}", 8)
    assert preparation.prepare(data, 3, tmp_path / "records", 2)["train"] == (1, 2, 3)


def test_names_and_output_do_not_depend_on_the_locale(tmp_path):
    folder = tmp_path / "\u00fc\u4e2d"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}\u00e4.png").write_bytes(letter(i, "PNG"))
    flagfile = tmp_path / "flags"
    flagfile.write_text(f"--dataset=folder:{folder}\n--image_size=8\n", "utf-8")
    for name, locale in (("a", "C.UTF-8"), ("b", "POSIX")):
        variables = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        options = [f"--flagfile={flagfile}", f"--output={folder / name}"]
        result = run("prepare", *options, env={**os.environ, **variables})
        assert result.returncode == 0, result.stderr
        assert result.stdout.endswith(f"--dataset=records:{folder / name}\n")
    assert content(folder / "a") == content(folder / "b")


def test_a_killed_preparation_continues(prepared, tmp_path):
    """Files left by a kill are whole, and the same command writes the rest."""
    for count in (1, 3):
        process = start("prepare", *PREPARED, f"--output={tmp_path}")
        wait_for(lambda count=count: len(content(tmp_path)) >= count, process)
        process.kill()
        process.communicate()
        for name, found in content(tmp_path).items():
            assert found == (prepared / name).read_bytes(), name
        if not json.loads((tmp_path / "records.json").read_text())["complete"]:
            with pytest.raises(UserError, match=str(tmp_path)):
                records.Records(tmp_path, "train", 3)
    succeed(call("prepare", *PREPARED, f"--output={tmp_path}"))
    assert content(tmp_path) == content(prepared)
    assert not list(tmp_path.glob(".partial-*"))


def test_a_second_process_is_refused_and_ctrl_c_leaves_no_partial_file(tmp_path):
    options = ["--dataset=drawn:100000", "--images_per_file=500", f"--output={tmp_path}"]
    first = start("prepare", *options)
    wait_for(lambda: content(tmp_path), first)
    assert_one_line(call("prepare", *options), str(tmp_path), "writing")
    first.send_signal(signal.SIGINT)
    _, stderr = first.communicate(timeout=60)
    assert first.returncode == 130 and "Traceback" not in stderr, stderr
    assert not list(tmp_path.glob(".partial-*"))


def test_a_full_disk_leaves_no_partial_file(prepared, tmp_path):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))

    result = run("prepare", *PREPARED, f"--output={tmp_path}", preexec_fn=limit)
    assert_one_line(result, str(tmp_path), "finished files")
    assert not content(tmp_path) and not list(tmp_path.glob(".partial-*"))
    succeed(call("prepare", *PREPARED, f"--output={tmp_path}"))
    assert content(tmp_path) == content(prepared)
