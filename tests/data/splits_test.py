import pytest

from prsr.data import splits
from prsr.errors import UserError


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
