"""Records hold the images that were written, in their order."""

import numpy as np
import pytest
import tensorflow as tf

from prsr.data import image_sets, pipeline, records
from prsr.errors import UserError
from prsr.hparams import DataHparams


def test_blocks_of_records_and_of_memory_are_the_same(tmp_path):
    data = DataHparams(dataset="drawn:40", image_size=16)
    pool = image_sets.load(data, 3, "train").images
    records.write(tmp_path / "train-00000.tfrecord", pool)
    streamed = DataHparams(dataset=f"records:{tmp_path}", image_size=16)
    for one, other in zip(
        pipeline.blocks(data, 3, 4, "train", 7)[0], pipeline.blocks(streamed, 3, 4, "train", 7)[0]
    ):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_array_equal(image_sets.load(streamed, 3, "train").images, pool)


IMAGES = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Seven images in files of three, none, and four."""
    for number, part in enumerate((IMAGES[:3], IMAGES[3:3], IMAGES[3:])):
        records.write(tmp_path / f"train-{number:05d}.tfrecord", part)
    return tmp_path


def test_images_of_several_files_in_their_order(folder):
    found = records.Records(folder, "train", 3)
    assert (len(found), found.size) == (7, 4)
    for start in range(7):
        blocks = list(found.blocks(2, start).as_numpy_iterator())
        np.testing.assert_array_equal(np.concatenate(blocks), IMAGES[start:])


def test_any_image_by_its_place(folder):
    read = records.Records(folder, "train", 3).reader()
    order = [6, 0, 3, 2, 2]
    np.testing.assert_array_equal(read(tf.constant(order, tf.int64)), IMAGES[order])


def test_records_of_other_channels_or_splits_are_refused(folder):
    with pytest.raises(UserError, match="square images with 1 channel"):
        records.Records(folder, "train", 1)  # 48 bytes are no square
    with pytest.raises(UserError, match="expected test-00000.tfrecord"):
        records.Records(folder, "test", 3)
    assert records.exist(folder, "train") and not records.exist(folder, "test")
