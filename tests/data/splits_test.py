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


def test_three_images_are_the_fewest():
    assert all(len(part) == 1 for part in splits.assign(["a.png", "b.png", "c.png"]).values())
    with pytest.raises(UserError, match="at least 3 images"):
        splits.assign(["a.png", "b.png"])


@pytest.mark.parametrize(("how", "word"), [("celeba", "000001.jpg"), ("folders", "train")])
def test_a_split_that_does_not_fit(how, word):
    with pytest.raises(UserError, match=word):
        splits.assign(["a.png", "b.png", "c.png"], how)


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
    """A zip of a folder, and a copy on macOS, have the order of the folder, too."""
    expected = splits.assign(WORDS)
    found = splits.assign([written(name) for name in WORDS])
    assert found == {split: [written(name) for name in part] for split, part in expected.items()}


def test_folders_within_the_set_do_matter():
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
def test_auto_says_what_keeps_it_from_the_partition(names, kind, capsys):
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


def test_a_digest_says_what_changed():
    after = digest(["a.png", "e.png", "f.png"], ["d.png"], ["b.png"])
    assert after.changes(BEFORE) == [
        "1 added",
        "1 gone",
        "1 moved from train to test",
        "1 moved from test to train",
    ]
    assert BEFORE.changes(BEFORE) == []


def test_where_validation_serves_as_test_nothing_moves():
    folders = ["train/1.png", "val/2.png"]
    before, after = (
        splits.Digest.of(splits.assign([*folders, *more])) for more in ([], ["test/3"])
    )
    assert after.changes(before) == ["1 added"]


def test_a_digest_is_kept(tmp_path):
    path = tmp_path / "splits.npz"
    BEFORE.save(path)
    again = splits.Digest.load(path)
    assert again.changes(BEFORE) == []
    np.testing.assert_array_equal(again.trained, BEFORE.trained)
    content = path.read_bytes()
    damaged = (b"", b"no zip", content[:40], content[:-30], content.replace(b"train", b"trail"))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(UserError, match="the digest of a run"):
            splits.Digest.load(path)


def test_a_digest_of_version_0_2(tmp_path):
    """Its list of folders is not needed; names relative to another root are refused."""
    path = tmp_path / "splits.npz"
    arrays = {**BEFORE.hashes, "trained": BEFORE.trained, "folders": np.array(["x/"])}
    np.savez_compressed(path, root=np.array(""), **arrays)
    assert splits.Digest.load(path).changes(BEFORE) == []
    np.savez_compressed(path, root=np.array("+x/"), **arrays)
    with pytest.raises(UserError, match=r"relative to '\+x/'"):
        splits.Digest.load(path)


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


def test_images_that_were_ever_trained_on_are_never_tested_on(known):
    """Although they were gone for a while."""
    check(known, ["a.png"], ["d.png"], ["e.png"]).save(known / "splits.npz")
    with pytest.raises(UserError, match=r"trained on 2 images .* such as '[bc].png'"):
        check(known, ["a.png"], ["d.png"], ["b.png", "c.png"])


def test_other_names_are_refused_in_the_run_s_own_data_set(known, capsys):
    """Elsewhere they are taken as other images, which is printed."""
    parts = ["x/1.png"], ["x/2.png"], ["y/3.png"]
    with pytest.raises(UserError, match="none of the 5 images .* 'folder:x'"):
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
