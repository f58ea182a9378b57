"""Reads a split of a data set as small images, in memory or from records on disk."""

import collections
import dataclasses
import sys
from concurrent import futures

import numpy as np
import tensorflow as tf

from prsr import images
from prsr.data import sources
from prsr.system import host, progress
from prsr.system.errors import UserError, cause


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """A split in memory.

    Attributes:
        names: list of names.
        images: `[len(names), size, size, channels]` uint8: high-resolution images or, for MNIST
            corners, digits of half that size.
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
            pool = tf.constant(self.images)
        return lambda positions: tf.gather(pool, positions)


def training_set(data, channels):
    """Opens the training images: as records on disk if they fit, else in memory.

    Args:
        data: `prsr.hparams.DataHparams`.
        channels: 1 or 3.

    Returns:
        An `ImageSet` or `prsr.data.records.Records`: both have a length and a `reader`.

    Raises:
        UserError: as for `load`.
    """
    source = sources.open_source(data.dataset, data.split, channels, data.root)
    source.check(data)
    if isinstance(source, sources.Records) and source.fits("train", data):
        return source.files("train")
    return load(data, channels, "train")


def small_images(source, data, channels, split, ranges):
    """Reads images in parallel and yields them in order, cropped and resized to `pool_size`.

    Args:
        source: as `prsr.data.sources.open_source` returns it.
        data: `prsr.hparams.DataHparams`.
        channels: 1 or 3.
        split: `"train"`, `"validation"` or `"test"`.
        ranges: `(start, stop)` pairs of numbers in the split.

    Yields:
        `(number, image, problem)`: `image` is uint8 `[size, size, channels]`, or None with the
        `OSError` or `ValueError` that makes it unusable as `problem`.

    Raises:
        UserError: an image does not fit the crop, or the source ends too early.
    """
    names, size = source.names(split), pool_size(data)

    # Threads rather than tf.data: TensorFlow holds Python's lock while it deletes an iterator, and
    # deadlocks if one of the iterator's threads is running Python then.
    @tf.function(input_signature=[tf.TensorSpec((None, None, channels), tf.uint8)])
    def reduce(image):
        return to_pool(image, data)

    def prepare(number, read):
        try:
            image = read()
            if "crop" not in source.made_with:
                image = images.crop(image, data.crop)
            if image.shape[0] < size:
                raise ValueError(f"smaller than {size}x{size}")
        except UserError as error:
            raise UserError(f"{names[number]}: {error}") from error
        except (OSError, ValueError) as error:
            return number, None, error
        return number, reduce(image).numpy(), None

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


def load(data, channels, split, limit=None, with_labels=False):
    """Reads a split: crops, resizes to `image_size` (half of it for corners), quantises.

    Skips images that are unreadable or smaller than `image_size`, and counts and names them on
    standard error.

    Args:
        data: `prsr.hparams.DataHparams`.
        channels: 1 or 3.
        split: `"train"`, `"validation"` or `"test"`.
        limit: read only this many images, from the start of the split; None for all.
        with_labels: whether to read the classes of the images as well.

    Returns:
        An `ImageSet`.

    Raises:
        UserError: no image is usable, an image does not fit the crop, or there are no labels.
    """
    source = sources.open_source(data.dataset, data.split, channels, data.root)
    source.check(data)
    names = source.names(split)[:limit]
    if not names:
        raise UserError(
            f"data set '{data.dataset}' has no {split} images with split={data.split}; add some, "
            f"or use split=hash"
        )
    size = pool_size(data)
    pool = np.empty((len(names), size, size, channels), np.uint8)
    bar = progress.Progress(f"reading {split} images", len(names))
    good, problems = [], {}
    for number, image, problem in small_images(source, data, channels, split, [(0, len(names))]):
        if problem is None:
            good.append(number)
            pool[number] = image
        else:
            problems[names[number]] = problem
        bar.update(number + 1)
    report_skipped(problems, len(names), split)
    if not good:
        raise UserError(
            f"data set '{data.dataset}': none of the {len(names)} {split} images is usable"
        )
    labels = source.labels(split)[good] if with_labels else None
    if problems:
        names, pool = [names[number] for number in good], pool[good]
    return ImageSet(names, pool, labels)


def to_pool(square, data):
    """Converts a square picture to the form of `ImageSet.images`.

    Args:
        square: `[side, side, channels]` uint8.
        data: `prsr.hparams.DataHparams`.

    Returns:
        `[size, size, channels]` uint8 tensor, where `size` is `pool_size(data)`.
    """
    return images.reduce_levels(images.resize(square, (pool_size(data),) * 2), data.levels)


def pool_size(data):
    """Returns the height and width of `ImageSet.images`; for corners, half the image's."""
    return data.image_size if data.pairs == "downsampled" else data.image_size // 2


def report_skipped(problems, count, split, most=10):
    """Counts unusable images on standard error and names the first ones.

    Args:
        problems: a dict from names to errors.
        count: total number of images.
        split: their split.
        most: how many to name.
    """
    if problems:
        listed = [f"{name} ({error})" for name, error in sorted(problems.items())[:most]]
        more = f" and {len(problems) - most} more" if len(problems) > most else ""
        print(
            f"skipped {len(problems)} of {count} {split} images: {', '.join(listed)}{more}",
            file=sys.stderr,
        )
