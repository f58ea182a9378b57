import unicodedata

import numpy as np
import pytest

from prsr.data import splits
from prsr.system import progress
from prsr.system.errors import UserError


def test_celebas_official_partition():
    names = [f"img/{n:06d}.jpg" for n in (1, 162770, 162771, 182637, 182638, 202599)]
    assert list(splits.assign(names).values()) == [names[:2], names[2:4], names[4:]]


def test_official_partition_equals_the_list(celeba):
    lines = (celeba / "list_eval_partition.txt").read_text().split("\n")
    expected = dict(line.split() for line in lines if line)
    for split, names in splits.assign(list(expected), "celeba").items():
        assert {expected[name] for name in names} == {str(splits.NAMES.index(split))}


def test_folders_name_the_split():
    names = ["bedroom/train/1.jpg", "bedroom/train/2.jpg", "bedroom/val/3.jpg"]
    result = splits.assign(names)
    assert result["train"] == names[:2]
    assert result["validation"] == result["test"] == names[2:]


def test_words_in_the_names_of_folders():
    for folders in (
        "DIV2K_train_HR DIV2K_valid_HR",
        "train2017 val2017 test2017",
        "x/TRAINING_set x/Dev x/Testing",
        "test-project/trainA/test test-project/validB/train",
    ):
        names = [f"{folder}/1.png" for folder in folders.split()]
        found = [name for part in splits.assign(names).values() for name in part]
        assert found == (names + names[-1:])[:3]
    alone = [f"train_station/{i}.png" for i in range(3)]
    assert splits.assign(alone) == splits.assign(alone, "hash")


def test_without_a_folder_for_validation_some_training_images_validate():
    names = [f"Training/{i}.png" for i in range(400)] + [f"Testing/{i}.png" for i in range(9)]
    parts = splits.assign(names)
    assert set(parts["test"]) == set(names[400:]) and 5 < len(parts["validation"]) < 40
    assert sorted(parts["train"] + parts["validation"]) == sorted(names[:400])


def test_official_names_of_another_size(capsys):
    """Such as VOC's 000001.jpg."""
    names = [f"{i:06d}.jpg" for i in range(1, 60)]
    progress.say_once.cache_clear()
    found = splits.assign(names, read=lambda name: np.zeros((375, 500, 3)))
    assert found == splits.assign(names, "hash") and "500x375" in capsys.readouterr().err
    assert splits.assign(names, read=lambda name: np.zeros((218, 178, 3)))["train"] == names


def test_hash_does_not_depend_on_the_other_images():
    names = [f"{i}.png" for i in range(2000)]
    everything = splits.assign(names)
    sizes = [len(everything[split]) for split in ("train", "validation", "test")]
    assert sum(sizes) == 2000
    assert 60 < sizes[1] < 140 and 60 < sizes[2] < 140
    some = splits.assign(names[:1000])
    assert set(some["test"]) == set(everything["test"]) & set(names[:1000])


def test_fewer_than_three_images_are_refused():
    assert all(len(part) == 1 for part in splits.assign(["a.png", "b.png", "c.png"]).values())
    with pytest.raises(UserError, match="at least 3 images"):
        splits.assign(["a.png", "b.png"])


@pytest.mark.parametrize(("how", "word"), [("celeba", "000001.jpg"), ("folders", "train")])
def test_a_split_that_does_not_fit_the_names_is_refused(how, word):
    with pytest.raises(UserError, match=word):
        splits.assign(["a.png", "b.png", "c.png"], how)


@pytest.mark.parametrize("name", ["000000.jpg", "202600.jpg", "0000001.jpg", "00001.jpg"])
def test_names_unlike_celeba_s_are_hashed(name):
    names = [name, "1.jpg", "2.jpg"]
    assert splits.assign(names) == splits.assign(names, "hash")
    with pytest.raises(UserError):
        splits.assign([name], "celeba")


def test_a_card_chooses_images_in_its_own_splits_and_order(capsys):
    """Folders and extensions do not matter; without its test images, a data set stays as it is."""
    known = {"train": ["a", "gone"], "validation": ["b"], "test": ["d", "gone too", "c"]}
    known = {split: np.array(stems, "S") for split, stems in known.items()}
    names = {"train": ["x/c.png", "x/e.jpg"], "validation": ["y/d.jpg", "y/b.jpg"], "test": ["a"]}
    expected = {"train": ["a"], "validation": ["y/b.jpg"], "test": ["y/d.jpg", "x/c.png"]}
    assert splits.chosen(names, known, "zip:x") == expected
    found = capsys.readouterr().err
    assert "of the 5 images" in found and "2 test images (1 missing)" in found
    others = {**names, "train": [], "validation": []}
    assert splits.chosen(others, known, "zip:x") == others and not capsys.readouterr().err


WORDS = [unicodedata.normalize("NFC", f"M\u00fcller {i:03d}.jpg") for i in range(300)]


@pytest.mark.parametrize(
    "written",
    [
        lambda name: f"my_images/{name}",
        lambda name: f"a/b/{name}",
        lambda name: unicodedata.normalize("NFD", name),
        lambda name: unicodedata.normalize("NFD", f"B\u00e4ume/{name}"),
    ],
)
def test_common_folders_and_forms_of_unicode_do_not_matter(written):
    """A zip of a folder, or a copy on macOS, has the folder's splits."""
    expected = splits.assign(WORDS)
    found = splits.assign([written(name) for name in WORDS])
    assert found == {split: [written(name) for name in part] for split, part in expected.items()}


def test_only_the_common_folder_is_left_out_of_keys():
    names = [f"{folder}/{i}.png" for folder in "ab" for i in range(200)]
    assert splits.keys(names) == names
    assert splits.keys(["x/a/1.png", "x/a-b/1.png"]) == ["a/1.png", "a-b/1.png"]
    assert splits.keys([]) == []


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ([f"{n:06d}.jpg" for n in (1, 162771, 182638, 5)] + ["cover.jpg"], "celeba"),
        (["train/1.png", "val/2.png", "test/3.png", "cover.jpg"], "folders"),
    ],
)
def test_auto_names_the_files_that_prevent_an_official_split(names, kind, capsys):
    progress.say_once.cache_clear()
    assert splits.assign(names) == splits.assign(names, "hash")
    (line,) = capsys.readouterr().err.splitlines()
    assert f"split={kind}" in line and "1 of them" in line and "'cover.jpg'" in line
    splits.assign(WORDS)
    assert (
        capsys.readouterr().err
        == "split=auto: 300 images are split 90:5:5 by a hash of their names\n"
    )


def digest(*parts):
    return splits.Digest.of(dict(zip(splits.NAMES, parts)))


BEFORE = digest(["a.png", "b.png", "c.png"], ["d.png"], ["e.png"])


def test_a_digest_lists_what_changed():
    after = digest(["a.png", "e.png", "f.png"], ["d.png"], ["b.png"])
    assert after.changes(BEFORE) == [
        "1 added",
        "1 gone",
        "1 moved from train to test",
        "1 moved from test to train",
    ]
    assert BEFORE.changes(BEFORE) == []


def test_no_image_moves_where_validation_serves_as_test():
    folders = ["train/1.png", "val/2.png"]
    before, after = (
        splits.Digest.of(splits.assign([*folders, *more])) for more in ([], ["test/3"])
    )
    assert after.changes(before) == ["1 added"]


def test_a_digest_is_saved_and_a_damaged_one_refused(tmp_path):
    path = tmp_path / "splits.npz"
    BEFORE.save(path)
    again = splits.Digest.load(path)
    assert again.changes(BEFORE) == []
    np.testing.assert_array_equal(again.trained, BEFORE.trained)
    content = path.read_bytes()
    damaged = (b"", b"no zip", content[:40], content[:-30], content.replace(b"train", b"trail"))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(UserError, match="splits.npz"):
            splits.Digest.load(path)


def test_a_digest_of_version_0_2_is_read(tmp_path):
    path = tmp_path / "splits.npz"
    arrays = {**BEFORE.hashes, "trained": BEFORE.trained, "folders": np.array(["x/"])}
    np.savez_compressed(path, root=np.array(""), **arrays)
    assert splits.Digest.load(path).changes(BEFORE) == []


class Named:
    """A source of images with names."""

    def __init__(self, *parts):
        self.splits = dict(zip(splits.NAMES, parts))

    def digest(self):
        return splits.Digest.of(self.splits)


def check(path, *parts, trained_on=None):
    return splits.check(path / "splits.npz", Named(*parts), "folder:x", trained_on)


@pytest.fixture
def known(tmp_path):
    check(tmp_path, ["a.png", "b.png", "c.png"], ["d.png"], ["e.png"]).save(tmp_path / "splits.npz")
    return tmp_path


def test_small_changes_are_printed(known, capsys):
    digest = check(known, ["a.png", "e.png", "f.png"], ["d.png"], ["g.png"])
    assert "changed: 2 added, 2 gone, 1 moved from test to train\n" in capsys.readouterr().err
    assert len(digest.trained) == 5  # a to c, and e and f
    check(known, ["a.png", "b.png", "c.png"], ["d.png"], ["e.png"])
    assert capsys.readouterr().err == ""


def test_images_once_trained_on_are_never_test_images(known):
    """Images that were missing for a while are still remembered."""
    check(known, ["a.png"], ["d.png"], ["e.png"]).save(known / "splits.npz")
    with pytest.raises(UserError, match=r"2 images .*'[bc].png'"):
        check(known, ["a.png"], ["d.png"], ["b.png", "c.png"])


def test_unknown_names_are_refused_in_the_run_s_own_data_set(known, capsys):
    """In another data set they are reported as other images."""
    parts = ["x/1.png"], ["x/2.png"], ["y/3.png"]
    with pytest.raises(UserError, match="5 images .*folder:x"):
        check(known, *parts, trained_on="folder:x")
    assert len(check(known, *parts, trained_on="folder:y").trained) == 4
    assert "'folder:x' has none of the 5 images" in capsys.readouterr().err


def test_sets_without_names_are_not_compared(known):
    class Unnamed:
        def digest(self):
            return None

    kept = splits.check(known / "splits.npz", Unnamed(), "tfds:mnist")
    assert len(kept) == 5
    assert splits.check(known / "none.npz", Unnamed(), "tfds:mnist") is None
    nothing = np.array([], np.uint64)  # as version 0.2 wrote it
    splits.Digest(dict.fromkeys(splits.NAMES, nothing), nothing).save(known / "splits.npz")
    assert len(check(known, ["x.png"], ["y.png"], ["z.png"])) == 3
