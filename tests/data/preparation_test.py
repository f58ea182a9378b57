"""Records that are made of any source are its images, and stay whole."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from prsr.data import image_sets, pipeline, preparation, records
from prsr.hparams import DataHparams
from prsr.system.errors import UserError
from tests.data.pictures import load, opened

DATA = DataHparams(dataset="drawn:200", image_size=8)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.glob("[tv]*.tfrecord")}


def images(folder, split):
    return np.concatenate(list(records.Records(folder, split, 3).blocks(64).as_numpy_iterator()))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_records_hold_the_source_s_images(prepared, split):
    np.testing.assert_array_equal(images(prepared, split), load(DATA, split).images)


def test_training_batches_from_records_equal_the_source_s(prepared):
    """Images are the same and mirrored alike, read one by one from the disk."""
    data = DataHparams(dataset=f"records:{prepared}", image_size=8, mirror=True)
    stored = image_sets.training_set(opened(data), data)
    assert isinstance(stored, records.Records)
    batches = [
        pipeline.training_pairs(part, data, 4, 32, seed=5, first_step=3).take(12)
        for part in (stored, image_sets.training_set(opened(DATA), DATA))
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
def test_a_damaged_file_is_refused_and_written_again(prepared, tmp_path, how):
    copy = shutil.copytree(prepared, tmp_path / "copy")
    damage(copy / "train-00002.tfrecord", how)
    if how == "flipped":
        data = DataHparams(dataset=f"records:{copy}", image_size=8)
        with pytest.raises(UserError, match="corrupted"):
            load(data)
    else:
        with pytest.raises(UserError, match="train-00002.tfrecord"):
            records.Records(copy, "train", 3)
    assert preparation.prepare(DATA, 3, copy, 50)["train"] == (4, 186, 0)
    assert content(copy) == content(prepared)


def test_a_folder_made_with_other_settings_is_refused(prepared, tmp_path):
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
    with pytest.raises(UserError, match="records.json"):
        preparation.prepare(DATA, 3, tmp_path / "records.json" / "x", 50)
    copy = shutil.copytree(prepared, tmp_path / "copy")
    (copy / "records.json").write_text("[]")
    with pytest.raises(UserError, match="records.json"):
        records.Records(copy, "train", 3)


def test_records_of_version_0_2_are_continued(prepared, tmp_path):
    copy = shutil.copytree(prepared, tmp_path / "copy")
    manifest = copy / "records.json"
    saved = json.loads(manifest.read_text())
    for entry in saved["files"].values():
        entry["sha256"] = "as version 0.2 wrote it"
    del saved["files"]["train-00001.tfrecord"]
    manifest.write_text(json.dumps(saved))
    assert preparation.prepare(DATA, 3, copy, 50)["train"] == (4, 186, 0)
    assert content(copy) == content(prepared)
