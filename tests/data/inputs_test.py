"""The names of a user's images, and which of them are none."""

import os

import numpy as np
import pytest
from PIL import Image

from prsr import images
from prsr.data import inputs
from prsr.hparams import Hparams
from prsr.system.errors import UserError

HPARAMS = Hparams()


def fill(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(os.fsencode(path), "PNG")
    return folder


def labels(folder):
    return [image.name for image in inputs.read_inputs(folder, HPARAMS)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["deep-photo.png", "deep/photo.jpg"], ["deep-photo", "deep-photo-2"]),
        (["a.jpg", "a.png", "b.png"], ["a", "a-2", "b"]),
        (["what:.png", "what?.png"], ["what%3A", "what%3F"]),
        (["50%.png", "50%25.png"], ["50%2525", "50%"]),
        (["A.png", "a.jpg"], ["A", "a-2"]),
        (["u\u0308.png", "\u00fc.png"], ["u\u0308", "\u00fc-2"]),
        (["caf\udce9.png"], ["caf%E9"]),
        (["a\nb.png"], ["a%0Ab"]),
    ],
)
def test_labels_are_distinct_and_valid_on_every_file_system(tmp_path, names, expected):
    try:
        fill(tmp_path, names)
    except OSError:
        pytest.skip("this file system has no such names")
    assert sorted(labels(tmp_path)) == sorted(expected)


def test_long_labels_are_cut_and_stay_distinct(tmp_path):
    found = labels(fill(tmp_path, ["\u00fc" * 120 + end + ".png" for end in ("a", "b")]))
    assert len(set(found)) == 2
    for label in found:
        assert len(f".partial-{label}_1000000.png".encode()) <= 255
        assert label.startswith("\u00fc\u00fc")


def test_earlier_outputs_are_not_read_as_inputs(tmp_path, capsys):
    folder = fill(tmp_path / "in", ["a.png", "grid.png", "b.png"])
    for name in ("a_1.png", "out/grid.png", "out/step_00000006.png"):
        images.save(Image.fromarray(np.zeros((8, 8, 3), np.uint8)), folder / name)
    assert labels(folder) == ["a", "b", "grid"]
    assert "skipped 3 images that this program wrote" in capsys.readouterr().err
    assert labels(folder / "a_1.png") == ["a_1"]  # named by itself, it is meant
    with pytest.raises(UserError, match="no others"):
        inputs.read_inputs(folder / "out", HPARAMS)


def test_unusable_files_are_named(tmp_path, capsys):
    fill(tmp_path, ["a.png"])
    (tmp_path / "b.png").write_bytes(b"no image")
    assert labels(tmp_path) == ["a"] and inputs.count(tmp_path) == 2
    assert "skipped 1 of 2 images: b.png (not a readable" in capsys.readouterr().err
    for path, words in (("b.png", "b.png'"), ("none", "no such file"), ("empty", "no images")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=words):
            inputs.read_inputs(tmp_path / path, HPARAMS)
    (tmp_path / "a.png").unlink()
    with pytest.raises(UserError, match="none of the 1 images"):
        inputs.read_inputs(tmp_path, HPARAMS)
