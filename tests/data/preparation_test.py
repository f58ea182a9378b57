"""Records that are made of any source are its images, and stay whole."""

import dataclasses
import io
import json
import shutil

import numpy as np
import pytest

from prsr.data import image_sets, letters, pipeline, preparation, records, splits
from prsr.hparams import DataHparams
from prsr.system.errors import UserError

DATA = DataHparams(dataset="drawn:200", image_size=8)


def encoded(index, kind="JPEG"):
    file = io.BytesIO()
    letters.render(index).save(file, kind)
    return file.getvalue()


def content(folder):
    return {path.name: path.read_bytes() for path in folder.glob("[tv]*.tfrecord")}


def images(folder, split):
    return np.concatenate(list(records.Records(folder, split, 3).blocks(64).as_numpy_iterator()))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_records_are_the_images_of_the_source(prepared, split):
    np.testing.assert_array_equal(images(prepared, split), image_sets.load(DATA, 3, split).images)


def test_training_reads_records_as_it_reads_the_source(prepared):
    """The same batches, images and mirrors, read one by one from the disk."""
    data = DataHparams(dataset=f"records:{prepared}", image_size=8, mirror=True)
    stored = image_sets.training_set(data, 3)
    assert isinstance(stored, records.Records)
    batches = [
        pipeline.training_pairs(part, data, 4, 32, seed=5, first_step=3).take(12)
        for part in (stored, image_sets.training_set(DATA, 3))
    ]
    for one, two in zip(*(b.as_numpy_iterator() for b in batches), strict=True):
        for actual, expected in zip(one, two):
            np.testing.assert_array_equal(actual, expected)


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 1
    elif how == "truncated":
        del data[-100:]
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["flipped", "truncated", "missing"])
def test_a_damaged_file_is_refused_and_mended(prepared, tmp_path, how):
    copy = tmp_path / "copy"
    shutil.copytree(prepared, copy)
    damage(copy / "train-00002.tfrecord", how)
    if how == "flipped":
        data = DataHparams(dataset=f"records:{copy}", image_size=8)
        with pytest.raises(UserError, match="cannot read all of data set.*corrupted"):
            image_sets.load(data, 3, "train")
    else:
        with pytest.raises(UserError, match="train-00002.tfrecord"):
            records.Records(copy, "train", 3)
    assert preparation.prepare(DATA, 3, copy, 50)["train"] == (4, 186, 0)
    assert content(copy) == content(prepared)


def test_a_folder_that_was_made_otherwise(prepared, tmp_path):
    for data, count, words in [
        (dataclasses.replace(DATA, image_size=16), 50, "image_size=8, not 16"),
        (DataHparams("drawn:300", 8), 50, "dataset=drawn:200, not drawn:300"),
        (DATA, 20, "images_per_file=50, not 20"),
    ]:
        with pytest.raises(UserError, match=words):
            preparation.prepare(data, 3, prepared, count)
    (tmp_path / "train-00000.tfrecord").touch()
    with pytest.raises(UserError, match="without records.json"):
        preparation.prepare(DATA, 3, tmp_path, 50)
    for text in ('{"settings": 3}', "[]", "[" * 100_000):
        (tmp_path / "records.json").write_text(text)
        with pytest.raises(UserError, match="cannot read"):
            preparation.prepare(DATA, 3, tmp_path, 50)
    copy = shutil.copytree(prepared, tmp_path / "copy")
    (copy / "records.json").write_text("[]")
    with pytest.raises(UserError, match="cannot read .*records.json"):
        records.Records(copy, "train", 3)


def test_too_little_room_is_seen_before(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(UserError, match="1,000 bytes free, but the records need"):
        preparation.prepare(DATA, 3, tmp_path, 50)


def test_nowhere_to_write(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to"):
        preparation.prepare(DATA, 3, tmp_path / "file" / "x", 50)


def test_what_an_older_version_began_keeps_its_division(tmp_path):
    """It hashed whole paths, and did not say so."""
    for i in range(60):
        path = tmp_path / "images" / "one" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(i, "PNG"))
    data = DataHparams(f"folder:{tmp_path / 'images'}", 8)
    older = dataclasses.replace(data, root=splits.WHOLE_PATHS)
    expected = preparation.prepare(older, 3, tmp_path / "older", 20)
    before = content(tmp_path / "older")
    manifest = tmp_path / "older" / "records.json"
    saved = json.loads(manifest.read_text())
    assert saved["settings"].pop("root") == splits.WHOLE_PATHS
    manifest.write_text(json.dumps(saved))
    (tmp_path / "older" / "train-00001.tfrecord").unlink()
    assert preparation.prepare(data, 3, tmp_path / "older", 20) == expected
    assert content(tmp_path / "older") == before
    preparation.prepare(data, 3, tmp_path / "newer", 20)
    assert content(tmp_path / "newer") != before
