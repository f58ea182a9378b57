"""The images of an evaluation, kept in its directory, without a model."""

import numpy as np
import pytest

from prsr import images
from prsr.evaluation import results
from prsr.evaluation.methods import Method
from prsr.evaluation.results import Evaluation
from prsr.system.errors import UserError


def keep(tmp_path, count=5, size=16, names="01234"):
    rng = np.random.default_rng(0)
    high_res = rng.integers(0, 256, (count, size, size, 3)).astype(np.uint8)
    low_res = np.asarray(images.downsample(high_res, 4))
    return Evaluation(tmp_path, list(names)[:count], low_res, high_res)


def test_a_folder_with_other_images_is_refused_and_unchanged(tmp_path):
    keep(tmp_path / "kept", count=5)
    mine = tmp_path / "foreign" / "images" / "truth" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    for folder in ("kept", "foreign"):
        with pytest.raises(UserError, match="another folder"):
            keep(tmp_path / folder, count=4)
    assert mine.exists() and len(keep(tmp_path / "kept", count=5).names) == 5


def test_any_names_of_images_are_read_again(tmp_path):
    names = ["a\u2028b", "c\nd", "e\vf", "\u00fc", "\udcff"]
    keep(tmp_path, names=names)
    (tmp_path / "table1.json").write_text("{}")
    assert results.read(tmp_path) == ({}, names)
    (tmp_path / "names.json").unlink()  # earlier versions wrote lines
    (tmp_path / "names.txt").write_text("a\u2028b\nc\n", "utf-8")
    assert results.read(tmp_path)[1] == ["a\u2028b", "c"]


def test_a_damaged_file_is_named(tmp_path):
    keep(tmp_path)
    path = tmp_path / "images" / "truth" / "00000.npy"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="00000.npy"):
        keep(tmp_path)


def test_conflicts_are_found_before_anything_is_drawn(tmp_path):
    kept = keep(tmp_path)
    one, other = (Method("m", "M", None, {"weights_sha256": w}) for w in "ab")
    with pytest.raises(UserError, match="twice"):
        kept.check([one, other])
    kept.check([one])
    with pytest.raises(UserError, match="other weights"):
        kept.check([other])


def test_images_are_drawn_in_chunks_and_then_read(tmp_path):
    asked = []

    def predict(low_res):
        asked.append(len(low_res))
        return np.repeat(np.repeat(low_res, 4, 1), 4, 2)

    kept = keep(tmp_path)
    first = kept.images(Method("m", "M", predict, {}, chunk=2))
    assert asked == [2, 2, 1] and first.shape == (5, 16, 16, 3)
    np.testing.assert_array_equal(kept.images(Method("m", "M", None, {}, chunk=2)), first)
    kept.images(Method("all", "All", predict, {}, chunk=None))
    assert asked == [2, 2, 1, 5]
    np.testing.assert_array_equal(results.read_images(tmp_path, "all", 5), first)
    with pytest.raises(UserError, match="5 of 6"):
        results.read_images(tmp_path, "all", 6)
