import unicodedata

import numpy as np
import pytest

from prsr.data import splits
from prsr.system import progress
from prsr.system.errors import UserError


def test_celebas_official_partition():
    names = [f"img/{n:06d}.jpg" for n in (1, 162770, 162771, 182637, 182638, 202599)]
    assert splits.assign(names) == {
        "train": names[:2],
        "validation": names[2:4],
        "test": names[4:],
    }


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


def test_hash_does_not_depend_on_the_other_images():
    names = [f"{i}.png" for i in range(2000)]
    everything = splits.assign(names)
    sizes = [len(everything[split]) for split in ("train", "validation", "test")]
    assert sum(sizes) == 2000
    assert 60 < sizes[1] < 140 and 60 < sizes[2] < 140
    some = splits.assign(names[:1000])
    assert set(some["test"]) == set(everything["test"]) & set(names[:1000])


def test_three_images_give_each_split_one():
    assert all(len(part) == 1 for part in splits.assign(["a.png", "b.png", "c.png"]).values())


def test_too_few_images():
    with pytest.raises(UserError, match="at least 3 images"):
        splits.assign(["a.png", "b.png"])


@pytest.mark.parametrize(("how", "word"), [("celeba", "000001.jpg"), ("folders", "train")])
def test_a_split_that_does_not_fit(how, word):
    with pytest.raises(UserError, match=word):
        splits.assign(["a.png", "b.png", "c.png"], how)


@pytest.mark.parametrize("name", ["000000.jpg", "202600.jpg", "0000001.jpg", "00001.jpg"])
def test_names_that_are_not_official(name):
    assert splits.assign([name, "1.jpg", "2.jpg"]) == splits.assign(
        [name, "1.jpg", "2.jpg"], "hash"
    )
    with pytest.raises(UserError):
        splits.assign([name], "celeba")


WORDS = [unicodedata.normalize("NFC", f"M\u00fcller {i:03d}.jpg") for i in range(300)]


@pytest.mark.parametrize(
    "spelt",
    [
        lambda name: f"my_images/{name}",
        lambda name: f"a/b/{name}",
        lambda name: unicodedata.normalize("NFD", name),
        lambda name: unicodedata.normalize("NFD", f"B\u00e4ume/{name}"),
    ],
)
def test_common_folders_and_forms_of_unicode_do_not_matter(spelt):
    """A zip of a folder, and a copy on macOS, have the order of the folder, too."""
    expected = splits.assign(WORDS)
    found = splits.assign([spelt(name) for name in WORDS])
    assert found == {split: [spelt(name) for name in part] for split, part in expected.items()}


def test_folders_within_the_set_do_matter():
    names = [f"{folder}/{i}.png" for folder in "ab" for i in range(200)]
    assert splits.keys(names) == names
    assert splits.keys(["x/a/1.png", "x/a-b/1.png"]) == ["a/1.png", "a-b/1.png"]
    assert splits.keys([]) == []


def test_version_0_1_hashed_whole_paths():
    names = [f"x/{i}.png" for i in range(300)]
    before = splits.assign(names, "hash", splits.WHOLE_PATHS)
    assert before != splits.assign(names, "hash") and "x/121.png" in before["test"]
    plain = [name[2:] for name in names]
    assert splits.assign(plain, "hash", splits.WHOLE_PATHS) == splits.assign(plain, "hash")


@pytest.mark.parametrize(
    ("root", "expected"),
    [("-x/", ["1", "y/2", "/z/3"]), ("+a/", ["a/x/1", "a/x/y/2", "a/z/3"])],
)
def test_keys_of_another_root(root, expected):
    assert splits.keys(["w/x/1", "w/x/y/2", "w/z/3"], root) == expected


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ([f"{n:06d}.jpg" for n in (1, 162771, 182638, 5)] + ["cover.jpg"], "celeba"),
        (["train/1.png", "val/2.png", "test/3.png", "cover.jpg"], "folders"),
    ],
)
def test_auto_says_what_keeps_it_from_the_partition(names, kind, capsys):
    progress.begin()
    assert splits.assign(names) == splits.assign(names, "hash")
    (line,) = capsys.readouterr().err.splitlines()
    assert f"split={kind}" in line and "1 of them" in line and "'cover.jpg'" in line
    splits.assign(WORDS)
    assert capsys.readouterr().err == ""


def digest(parts, known=None):
    return splits.Digest.of(dict(zip(splits.NAMES, parts)), known)[0]


BEFORE = digest([["a.png", "b.png", "c.png"], ["d.png"], ["e.png"]])


def test_a_digest_says_what_changed():
    after = digest([["a.png", "e.png", "f.png"], ["d.png"], ["b.png"]], BEFORE)
    assert after.changes(BEFORE) == [
        "1 added",
        "1 gone",
        "1 moved from train to test",
        "1 moved from test to train",
    ]
    assert len(after.trained) == 5  # a to c, and e and f
    assert BEFORE.changes(BEFORE) == []


@pytest.mark.parametrize("folder", ["cats/", "x/cats/"])
def test_a_digest_knows_a_set_that_became_part_of_another(folder):
    parts = [[f"{folder}{name}" for name in part] for part in (["a.png", "b.png"], ["d.png"], [])]
    after = digest([[*parts[0], "dogs/1.png"], [*parts[1], f"{folder}c.png"], ["e.png"]], BEFORE)
    assert after.changes(BEFORE) == ["2 added", "1 gone", "1 moved from train to validation"]
    other = digest([["cats/a.png", "dogs/b.png", "c.png"], ["cats/d.png"], ["cats/e.png"]])
    assert "1 moved from train to test" in digest([[], ["d.png"], ["a.png"]], other).changes(other)


def test_a_digest_is_kept(tmp_path):
    path = tmp_path / "splits.npz"
    BEFORE.save(path)
    again = splits.Digest.load(path)
    assert again.changes(BEFORE) == [] and again.folders == BEFORE.folders
    np.testing.assert_array_equal(again.trained, BEFORE.trained)
    content = path.read_bytes()
    for damaged in (
        b"",
        b"no zip",
        content[:40],
        content[:-30],
        content.replace(b"train", b"trail"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="the digest of a run"):
            splits.Digest.load(path)


def test_of_validation_that_serves_as_test_nothing_moves():
    folders = ["train/1.png", "val/2.png"]
    before = splits.Digest.of(splits.assign(folders))[0]
    after = splits.Digest.of(splits.assign([*folders, "test/3.png"]), before)[0]
    assert after.changes(before) == ["1 added"]
