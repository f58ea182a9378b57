"""Reads a split of a data set as stored images, in memory or from records on disk."""

import collections
import dataclasses
import sys
from concurrent import futures

import numpy as np
import tensorflow as tf

from prsr.data import preprocessing
from prsr.system import host, progress
from prsr.system.errors import UserError, cause


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """A split in memory.

    Attributes:
        names: list of names.
        images: `[len(names), size, size, channels]` uint8, as `prsr.data.preprocessing.stored`
            makes them.
        labels: `[len(names)]` int32 classes, or None if not requested.
    """

    names: list
    images: np.ndarray
    labels: np.ndarray | None = None

    def first(self, count):
        """Returns the set of the first `count` images."""
        labels = None if self.labels is None else self.labels[:count]
        return ImageSet(self.names[:count], self.images[:count], labels)

    def __len__(self):
        return len(self.names)

    def reader(self):
        """Returns a TensorFlow function from positions, int64 `[count]`, to their images."""
        with tf.device("CPU:0"):  # a data set need not fit a GPU's memory
            stored = tf.constant(self.images)
        return lambda positions: tf.gather(stored, positions)

    def blocks(self, block_size):
        """Returns all images in order, as a `tf.data.Dataset` of blocks of up to `block_size`."""
        with tf.device("CPU:0"):
            return tf.data.Dataset.from_tensor_slices(self.images).batch(block_size)


def training_set(source, data, split="train"):
    """Returns images to train on: records on disk if they are as `data` asks, else in memory.

    Arguments and errors are those of `load`. An `ImageSet` and `prsr.data.records.Records` both
    have a length, a `reader` and `blocks`.
    """
    source.check(data)
    return source.on_disk(split, data) or load(source, data, split)


def small_images(source, data, split, ranges):
    """Reads ranges of a split in parallel and yields its images in order, as they are stored.

    Yields `(number, image, problem)`: `image` is an array of `prsr.data.preprocessing.stored`, or
    None with the `OSError` or `ValueError` that makes it unusable. Raises `UserError` if an image
    does not fit the crop, or the source ends too early.
    """
    names, size = source.names(split), preprocessing.stored_size(data)

    # Threads rather than tf.data: TensorFlow holds Python's lock while it deletes an iterator, and
    # deadlocks if one of the iterator's threads is running Python then.
    @tf.function(input_signature=[tf.TensorSpec((None, None, source.channels), tf.uint8)])
    def stored(image):
        return preprocessing.stored(image, data)

    def prepare(number, read):
        try:
            image = read()
            if "crop" not in source.made_with:
                image = preprocessing.crop(image, data.crop)
            if image.shape[0] < size:
                raise ValueError(f"smaller than {size}x{size}")
        except UserError as error:
            raise UserError(f"{names[number]}: {error}") from error
        except (OSError, ValueError) as error:
            return number, None, error
        return number, stored(image).numpy(), None

    def reads():
        try:
            for start, stop in ranges:
                arrays = source.arrays(split, start, stop)
                for number in range(start, stop):
                    read = next(arrays, None)
                    if read is None:
                        raise ValueError("it has fewer images than it declares")
                    yield number, read
        except Exception as error:  # TFDS and records raise many kinds when files are damaged
            raise UserError(
                f"cannot read all of data set '{data.dataset}': {cause(error)}"
            ) from error

    cores = host.cores()
    with futures.ThreadPoolExecutor(cores) as threads:
        waiting = collections.deque()
        try:
            for number, read in reads():
                waiting.append(threads.submit(prepare, number, read))
                if len(waiting) > 4 * cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # also when the caller stops early
            threads.shutdown(cancel_futures=True)


def load(source, data, split, limit=None, with_labels=False):
    """Reads a split into memory.

    Skips images that are unreadable or smaller than they are stored, and counts and names them on
    standard error.

    Args:
        source: as `prsr.data.sources.open_source` returns it.
        data: `prsr.hparams.DataHparams`.
        split: `"train"`, `"validation"` or `"test"`.
        limit: read only this many images, from the start of the split; None for all.
        with_labels: whether to read the classes of the images as well.

    Returns:
        An `ImageSet`.

    Raises:
        UserError: no image is usable, an image does not fit the crop, or there are no labels.
    """
    source.check(data)
    names = source.names(split)[:limit]
    if not names:
        raise UserError(
            f"data set '{data.dataset}' has no {split} images with split={data.split}; add some, "
            f"or use split=hash"
        )
    size = preprocessing.stored_size(data)
    stored = np.empty((len(names), size, size, source.channels), np.uint8)
    bar = progress.Progress(f"reading {split} images", len(names))
    good, problems = [], {}
    for number, image, problem in small_images(source, data, split, [(0, len(names))]):
        if problem is None:
            good.append(number)
            stored[number] = image
        else:
            problems[names[number]] = problem
        bar.update(number + 1)
    report_skipped(problems, len(names), f"{split} images")
    if not good:
        raise UserError(
            f"data set '{data.dataset}': none of the {len(names)} {split} images is usable"
        )
    labels = source.labels(split)[good] if with_labels else None
    if problems:
        names, stored = [names[number] for number in good], stored[good]
    return ImageSet(names, stored, labels)


def report_skipped(problems, count, what, most=10):
    """Counts unusable images (name to error) on standard error and names the first ones."""
    if problems:
        listed = [f"{name} ({error})" for name, error in sorted(problems.items())[:most]]
        more = f" and {len(problems) - most} more" if len(problems) > most else ""
        print(
            f"skipped {len(problems)} of {count} {what}: {', '.join(listed)}{more}",
            file=sys.stderr,
        )
