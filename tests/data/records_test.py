"""Records hold the images that were written, in their order."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from prsr.data import image_sets, pipeline, preparation, records
from prsr.hparams import DataHparams
from prsr.system.errors import UserError
from prsr.workdir.directory import Workdir
from tests.conftest import TINY, assert_one_line, call, succeed
from tests.data.pictures import load, opened


@pytest.mark.parametrize("pairs", ["downsampled", "corners"])
def test_blocks_from_records_equal_blocks_from_memory(tmp_path, pairs):
    data = DataHparams(dataset="drawn:40", image_size=16, pairs=pairs)
    stored = load(data).images
    records.write(tmp_path / "train-00000.tfrecord", stored)
    streamed = dataclasses.replace(data, dataset=f"records:{tmp_path}")
    (one, count), (other, _) = (
        pipeline.blocks(opened(d), d, 4, "train", 7) for d in (data, streamed)
    )
    assert count == len(stored)
    for pair in zip(one, other, strict=True):
        np.testing.assert_array_equal(pair[0][0], pair[1][0])
        np.testing.assert_array_equal(pair[0][1], pair[1][1])
    np.testing.assert_array_equal(load(streamed).images, stored)
    assert isinstance(image_sets.training_set(opened(streamed), streamed), records.Records)
    quantised = dataclasses.replace(streamed, levels=4)  # which these records are not
    assert isinstance(image_sets.training_set(opened(quantised), quantised), image_sets.ImageSet)


IMAGES = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Seven images in files of three, none, and four."""
    for number, part in enumerate((IMAGES[:3], IMAGES[3:3], IMAGES[3:])):
        records.write(tmp_path / f"train-{number:05d}.tfrecord", part)
    return tmp_path


def test_images_of_several_files_are_read_in_order(folder):
    found = records.Records(folder, "train", 3)
    assert (len(found), found.size) == (7, 4)
    for start in range(7):
        blocks = list(found.blocks(2, start).as_numpy_iterator())
        np.testing.assert_array_equal(np.concatenate(blocks), IMAGES[start:])


def test_images_are_read_by_index(folder):
    read = records.Records(folder, "train", 3).reader()
    order = [6, 0, 3, 2, 2]
    np.testing.assert_array_equal(read(tf.constant(order, tf.int64)), IMAGES[order])


def test_records_of_other_channels_or_splits_are_refused(folder):
    with pytest.raises(UserError, match="1 channel"):
        records.Records(folder, "train", 1)  # 48 bytes are no square
    with pytest.raises(UserError, match="expected test-00000.tfrecord"):
        records.Records(folder, "test", 3)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Records of aligned images, cut to the face."""
    folder = tmp_path_factory.mktemp("prepared")
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for i in range(40):
        image = rng.integers(0, 256, (218, 178, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{i}.png")
    data = DataHparams(dataset=f"folder:{folder / 'images'}", crop="celeba", image_size=16)
    preparation.prepare(data, 3, folder / "records", 100)
    return folder


def test_a_run_takes_crop_and_size_from_its_records(prepared, tmp_path):
    options = [o for o in TINY if not o.startswith(("--image_size", "--dataset"))]
    options += [f"--dataset=records:{prepared / 'records'}", "--train_steps=1", "--sample_images=0"]
    succeed(call("train", f"--workdir={tmp_path}", *options))
    data = Workdir(tmp_path).read_hparams().data
    assert (data.crop, data.image_size) == ("celeba", 16)
    for contradiction in ("--crop=center", "--image_size=8", "--channels=1"):
        result = call("train", f"--workdir={tmp_path / 'other'}", *options, contradiction)
        assert_one_line(result, "were made with", contradiction.split("=")[0])


def test_cropped_images_are_not_cropped_again(prepared):
    of_files = DataHparams(f"folder:{prepared / 'images'}", crop="celeba", image_size=16)
    of_records = dataclasses.replace(of_files, dataset=f"records:{prepared / 'records'}")
    for split in ("train", "validation", "test"):
        expected, found = (load(d, split).images for d in (of_files, of_records))
        np.testing.assert_array_equal(found, expected)
    made = {"crop": "celeba", "image_size": 16, "channels": 3}
    assert records.made_with(prepared / "records") == made
    other = dataclasses.replace(of_records, crop="mnist")
    for read in (load, lambda data: image_sets.training_set(opened(data), data)):
        with pytest.raises(UserError, match="crop=celeba.* crop=mnist"):
            read(other)
