"""Small images in TFRecord files, for sets that are too large for memory.

One record is the bytes of one square uint8 image; `train-*.tfrecord` in a folder are the
training images, and so on for `validation` and `test`. TensorFlow checks each record's CRC.
"""

import math
import pathlib
import struct

import tensorflow as tf

from prsr.errors import UserError

_FRAME = 16  # bytes around a record: its length, and two checksums


def write(path, images):
    """Writes one file of records.

    Args:
        path: `pathlib.Path` of the file.
        images: iterable of uint8 arrays `[size, size, channels]`.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for image in images:
            writer.write(image.tobytes())


def exist(folder, split):
    """Whether there are records of a split."""
    return any(pathlib.Path(folder).glob(f"{split}-*.tfrecord"))


class Records:
    """The files of one split.

    Args:
        folder: where they are.
        split: `"train"`, `"validation"` or `"test"`.
        channels: 1 or 3.

    Attributes:
        count: images in all files.
        size: their height and width.

    Raises:
        UserError: there are no such files, or their records are no such images.
    """

    def __init__(self, folder, split, channels):
        self.channels = channels
        self.paths = sorted(pathlib.Path(folder).glob(f"{split}-*.tfrecord"))
        if not self.paths:
            raise UserError(
                f"--dataset=records:{folder}: expected {split}-00000.tfrecord and so on there"
            )
        with open(self.paths[0], "rb") as file:
            head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        self.size = math.isqrt(length // channels)
        sizes = [path.stat().st_size for path in self.paths]
        broken = [p for p, s in zip(self.paths, sizes) if s % (length + _FRAME)]
        if not length or self.size**2 * channels != length or broken:
            raise UserError(
                f"'{(broken or self.paths)[0]}': expected records of square images with "
                f"{channels} channel(s), all of one size; it is damaged, or --channels is wrong"
            )
        self.count = sum(sizes) // (length + _FRAME)

    def blocks(self, block_size):
        """All images in order, so many at once.

        Args:
            block_size: images a block.

        Returns:
            A `tf.data.Dataset` of uint8 `[up to block_size, size, size, channels]`.
        """
        shape = (-1, self.size, self.size, self.channels)
        return (
            tf.data.TFRecordDataset([str(path) for path in self.paths], buffer_size=2**20)
            .batch(block_size, num_parallel_calls=tf.data.AUTOTUNE)
            .map(lambda block: tf.reshape(tf.io.decode_raw(block, tf.uint8), shape))
        )
