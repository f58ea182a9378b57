"""Which files are images: folders as systems leave them."""

import os

import pytest

from prsr.data import listing, sources
from prsr.system import progress
from prsr.system.errors import UserError
from tests.data.pictures import picture


@pytest.fixture(autouse=True)
def nothing_said():
    progress.say_once.cache_clear()


def fill(folder, *names):
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i, (8, 8)).save(path, "PNG")


def test_hidden_and_system_files_are_ignored(tmp_path, capsys):
    folder = tmp_path / ".cache" / "in"  # this one was asked for
    fill(folder, "a.png", "deep/@home/b.png", ".ipynb_checkpoints/a.png", "deep/.hidden/c.png")
    fill(folder, "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/._a.png", ".partial-a.png")
    fill(folder, "$RECYCLE.BIN/S-1/d.png", "#recycle/e.png")
    assert listing.find_images(folder) == ["a.png", "deep/@home/b.png"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("ending", ["jfif", "JPE", "jpeg", "pjpeg", "apng", "mpo", "avif"])
def test_every_listed_extension_is_read(tmp_path, ending):
    kind = {"apng": "PNG", "avif": "AVIF"}.get(ending.lower(), "JPEG")
    if f".{ending.lower()}" not in listing.EXTENSIONS:
        pytest.skip("this Pillow reads no AVIF")
    for i in range(3):
        picture(i).save(tmp_path / f"{i}.{ending}", kind)
    source = sources.open_source(f"folder:{tmp_path}", "hash", 3)
    assert sum(map(len, source.splits.values())) == 3
    assert source.read(f"0.{ending}").shape == (48, 40, 3)


def test_other_files_are_counted_by_extension_once(tmp_path, capsys):
    fill(tmp_path, "a.png", "b.dng", "deep/c.DNG", "d.psd", "notes.txt", "README")
    for _ in range(2):
        assert listing.find_images(tmp_path) == ["a.png"]
    (line,) = capsys.readouterr().err.splitlines()
    for words in ("skipped 5", ".dng: 2", ".psd: 1", ".txt: 1", "no extension: 1"):
        assert words in line
    names = ["x/a.png", "x/b.dng", "__MACOSX/x/._a.png", "x/", "x/deep/c.webp"]
    assert listing.images_among(names, "a.zip") == ["x/a.png", "x/deep/c.webp"]
    assert "'a.zip': skipped 1 other files (.dng: 1)\n" in capsys.readouterr().err


def test_links_are_followed_and_loops_end(tmp_path, capsys):
    fill(tmp_path / "elsewhere", "1.png", "deep/2.png")
    fill(tmp_path / "set", "train/0.png", "val/3.png")
    (tmp_path / "set" / "test").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "train" / "again").symlink_to(tmp_path / "set")
    (tmp_path / "elsewhere" / "4.png").symlink_to(tmp_path / "set" / "val" / "3.png")
    found = listing.find_images(tmp_path / "set")
    assert found == ["test/1.png", "test/4.png", "test/deep/2.png", "train/0.png", "val/3.png"]
    source = sources.open_source(f"folder:{tmp_path / 'set'}", "auto", 3)
    assert source.names("test") == ["test/1.png", "test/4.png", "test/deep/2.png"]
    assert "'train/again'" in capsys.readouterr().err


def test_link_targets_are_read_once_and_broken_links_named(tmp_path, capsys):
    fill(tmp_path, "train/0.png", "val/1.png")
    os.symlink("loop", tmp_path / "loop")
    (tmp_path / "a_test").symlink_to(tmp_path / "train")
    (tmp_path / "test").symlink_to(tmp_path / "no such folder")
    assert listing.find_images(tmp_path) == ["train/0.png", "val/1.png"]
    line = capsys.readouterr().err
    for words in ("'a_test', read already", "'test', a broken link", "'loop', a broken link"):
        assert words in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_named(tmp_path, capsys):
    fill(tmp_path, "a.png", "test/b.png")
    (tmp_path / "test").chmod(0)
    assert listing.find_images(tmp_path) == ["a.png"]
    assert "'test'" in capsys.readouterr().err


SR3 = [f"{kind}{i:05d}" for kind in ("hr_32_", "lr_8_", "sr_8_32_") for i in range(4)]


def test_only_the_originals_of_sr3_s_pairs_are_read(tmp_path, capsys):
    assert listing.targets(SR3, "here") == SR3[:4]
    assert "using hr_32, not lr_8, sr_8_32" in capsys.readouterr().err
    folders = [f"x/{kind}/0000{i}.png" for kind in ("hr_32", "lr_8", "sr_8_32") for i in range(4)]
    assert listing.targets(folders, "here") == folders[:4]
    assert listing.targets([*folders, "y/z.png"], "here") == [*folders[:4], "y/z.png"]
    fill(tmp_path, *folders)
    source = sources.open_source(f"folder:{tmp_path}", "auto", 3)
    assert {name for part in source.splits.values() for name in part} == set(folders[:4])


def test_reduced_copies_are_not_used_beside_originals(capsys):
    for pair in (
        "DIV2K_train_HR/1.png DIV2K_train_LR_bicubic/X4/1x4.png",
        "x/GTmod12/1.png x/LRbicx4/1.png",
        "1.png lq/1.png",
        "Canon_001_HR.png Canon_001_LR4.png",
        "0001.png 0001x4.png",
    ):
        original, reduced = pair.split()
        assert listing.targets([original, reduced], "here") == [original]
        assert f"such as '{reduced}'" in capsys.readouterr().err
        for names in ([original], [reduced], ["clr.png", "CLR2.png", original]):
            assert listing.targets(names, "here") is names


def test_only_the_largest_of_several_sizes_is_read():
    names = [f"{size}-{i:05d}" for size in (8, 128, 32) for i in range(3)]
    assert listing.targets(names, "here") == names[3:6]


@pytest.mark.parametrize("names", [["hr_1.png", "a.png"], ["128-2.png", "64-2.png"], ["sr_1"], []])
def test_other_names_are_unchanged(names):
    assert listing.targets(names, "here") is names


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="none"):
        listing.find_images(tmp_path / "none")
