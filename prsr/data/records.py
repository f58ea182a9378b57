"""Stores small images in TFRecord files, for data sets that are too large for memory.

One record is the bytes of one square uint8 image. `train-*.tfrecord` in a folder are the training
images, and so on for `validation` and `test`. All records have the same length, so any image can be
read directly. TensorFlow checks the CRC of each.

`prsr.prepare` also writes `records.json`, with the number of images in each file.
"""

import dataclasses
import json
import math
import pathlib
import struct

import numpy as np
import tensorflow as tf

from prsr.system import files
from prsr.system.errors import UserError
from prsr.system.version import __version__

MANIFEST = "records.json"
SPLITS = "splits.npz"  # a `splits.Digest` of the images, if they had names
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


def _record_length(path):
    """Returns the length of a file's first record in bytes."""
    with open(path, "rb") as file:
        head = file.read(8)
    return struct.unpack("<Q", head)[0] if len(head) == 8 else 0


@dataclasses.dataclass
class Manifest:
    """`records.json`, which `prsr.prepare` writes.

    Attributes:
        settings: a dict of how the records are made.
        files: a dict from the names of finished files to dicts of two counts, `"images"` and
            `"skipped"`.
        complete: whether all files are finished.
    """

    settings: dict
    files: dict = dataclasses.field(default_factory=dict)
    complete: bool = False

    @classmethod
    def read(cls, folder):
        """Reads the manifest of a folder, a `pathlib.Path`; None if another program wrote it.

        Raises `UserError` if the file is invalid.
        """
        path = folder / MANIFEST
        try:
            saved = json.loads(path.read_text("utf-8"))
            entries = {
                name: {key: int(entry[key]) for key in ("images", "skipped")}
                for name, entry in saved["files"].items()
            }
            return cls(dict(saved["settings"]), entries, bool(saved["complete"]))
        except FileNotFoundError:
            return None
        except Exception as error:  # unexpected JSON raises many kinds
            raise UserError(
                f"cannot read '{path}' ({type(error).__name__}: {error}); make the records again "
                f"in another folder"
            ) from error

    def write(self, folder):
        """Writes the manifest into a folder, a `pathlib.Path`."""
        content = {
            "prsr": __version__,
            "complete": self.complete,
            "settings": self.settings,
            "files": dict(sorted(self.files.items())),
        }
        files.write_text(folder / MANIFEST, json.dumps(content, indent=1) + "\n")


def made_with(folder):
    """Returns a dict of `crop`, `image_size` and `channels` of the records in a folder.

    It is empty for records of another program. Raises `UserError` if `records.json` is invalid.
    """
    manifest = Manifest.read(pathlib.Path(folder))
    if manifest is None:
        return {}
    kinds = {"crop": str, "image_size": int, "channels": int}
    found = {name: manifest.settings.get(name) for name in kinds}
    if any(type(found[name]) is not kind for name, kind in kinds.items()):
        raise UserError(
            f"'{pathlib.Path(folder) / MANIFEST}' does not say how the records were made; "
            f"make them again in another folder"
        )
    return found


class Records:
    """The record files of one split; `len()` is the number of images.

    Args:
        folder: folder of the records.
        split: `"train"`, `"validation"` or `"test"`.
        channels: 1 or 3.

    Attributes:
        size: height and width of the images.

    Raises:
        UserError: there are no such files, or they do not hold such images.
    """

    def __init__(self, folder, split, channels):
        self.folder, self.channels = pathlib.Path(folder), channels
        self.paths = sorted(self.folder.glob(f"{split}-*.tfrecord"))
        if not self.paths:
            raise UserError(
                f"'{folder}' has no {split} records; expected {split}-00000.tfrecord and so on"
            )
        length = _record_length(self.paths[0])
        self.size = math.isqrt(length // channels)
        self._frame = length + _FRAME
        sizes = [path.stat().st_size for path in self.paths]
        broken = [
            p
            for p, s in zip(self.paths, sizes)
            if s % self._frame or (s and _record_length(p) != length)
        ]
        if not length or self.size**2 * channels != length or broken:
            raise UserError(
                f"'{(broken or self.paths)[0]}': expected records of square images with "
                f"{channels} channel(s), all of one size; the file is damaged, or was made with "
                f"other channels"
            )
        counts = [size // self._frame for size in sizes]
        self._starts = np.cumsum([0, *counts])
        manifest = Manifest.read(self.folder)
        if manifest:
            found = dict(zip((path.name for path in self.paths), counts))
            self._check(manifest, split, found)

    def _check(self, manifest, split, found):
        """Rejects records that are not the manifest's."""
        again = "run the same prsr.prepare command again to write missing or damaged files"
        if not manifest.complete:
            raise UserError(f"'{self.folder}' does not have all of its records yet; {again}")
        wrong = sorted(
            name
            for name, entry in manifest.files.items()
            if name.startswith(f"{split}-") and found.get(name, 0) != entry["images"]
        )
        if wrong:
            raise UserError(
                f"'{self.folder / wrong[0]}' is missing or lacks some of "
                f"{manifest.files[wrong[0]]['images']:,} images listed in {MANIFEST} ({len(wrong)} "
                f"such file(s)); {again}"
            )

    def __len__(self):
        return int(self._starts[-1])

    def blocks(self, block_size, start=0):
        """Returns all images in order, in blocks.

        Args:
            block_size: images per block.
            start: number of the first image.

        Returns:
            A `tf.data.Dataset` of uint8 `[up to block_size, size, size, channels]`.
        """
        file = int(np.searchsorted(self._starts, start, side="right")) - 1
        paths = [str(path) for path in self.paths[file:]]
        return (
            tf.data.TFRecordDataset(paths, buffer_size=2**20)
            .skip(start - int(self._starts[file]))
            .batch(block_size, num_parallel_calls=tf.data.AUTOTUNE)
            .map(self._decode)
        )

    def reader(self):
        """Returns a TensorFlow function from positions, int64 `[count]`, to their images.

        It reads only these images, as uint8 `[count, size, size, channels]`.
        """
        paths = tf.constant([str(path) for path in self.paths])
        starts = tf.constant(self._starts[:-1], tf.int64)

        def one(position):
            file = tf.searchsorted(starts, [position], side="right")[0] - 1
            offset = (position - starts[file]) * self._frame
            # The raw op, because tf.data.TFRecordDataset always starts at a file's first byte.
            records = tf.raw_ops.TFRecordDatasetV2(
                filenames=[paths[file]],
                compression_type="",
                buffer_size=self._frame,
                byte_offsets=[offset],
            )
            return tf.data.experimental.from_variant(records, tf.TensorSpec((), tf.string)).take(1)

        def read(positions):
            records = tf.data.Dataset.from_tensor_slices(positions).flat_map(one)
            count = tf.size(positions, tf.int64)
            return self._decode(records.batch(count, drop_remainder=True).get_single_element())

        return read

    def _decode(self, records):
        shape = (-1, self.size, self.size, self.channels)
        return tf.reshape(tf.io.decode_raw(records, tf.uint8), shape)
