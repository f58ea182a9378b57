"""From a source to a split of small images, in memory or on disk."""

import collections
import dataclasses
import sys
from concurrent import futures

import numpy as np
import tensorflow as tf

from prsr import host, images, progress
from prsr.data import sources
from prsr.errors import UserError, cause


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """A split in memory.

    Attributes:
        names: list of names.
        images: `[len(names), size, size, channels]` uint8: high-resolution images, or what
            is placed in their corners, at half their size.
        labels: `[len(names)]` int32 classes, or None if they were not asked for.
    """

    names: list
    images: np.ndarray
    labels: np.ndarray | None = None

    def first(self, count):
        """The set of the first so many images."""
        labels = None if self.labels is None else self.labels[:count]
        return ImageSet(self.names[:count], self.images[:count], labels)

    def __len__(self):
        return len(self.names)

    def reader(self):
        """A function from positions, int64 `[count]`, to their images, within TensorFlow."""
        with tf.device("CPU:0"):  # a data set need not fit a GPU's memory
            pool = tf.constant(self.images)
        return lambda positions: tf.gather(pool, positions)


def training_set(data, channels):
    """The images to train on: in memory, or the records on disk, if that is what they are.

    Args:
        data: `prsr.hparams.DataHparams`.
        channels: 1 or 3.

    Returns:
        An `ImageSet` or `prsr.data.records.Records`: both have a length and a `reader`.

    Raises:
        UserError: as `load`.
    """
    source = sources.open_source(data.dataset, data.split, channels, data.root)
    source.check(data)
    if isinstance(source, sources.Records) and source.fits("train", data):
        return source.files("train")
    return load(data, channels, "train")


def small_images(source, data, channels, split, ranges):
    """Reads images in parallel, yields them in order: cropped, resized to `pool_size`.

    Args:
        source: as `prsr.data.sources.open_source` returns it.
        data: `prsr.hparams.DataHparams`.
        channels: 1 or 3.
        split: `"train"`, `"validation"` or `"test"`.
        ranges: pairs of numbers in the split: from which on, and up to which.

    Yields:
        `(number, image, problem)`: uint8 `[size, size, channels]`, or None and the
        `OSError` or `ValueError` that says why the image cannot be used.

    Raises:
        UserError: an image does not fit the crop, or the source ends too soon.
    """
    names, size = source.names(split), pool_size(data)

    # Threads, and not tf.data: TensorFlow deletes an iterator with Python's lock held, and waits
    # for ever if a thread of the iterator is in Python just then.
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
                        raise ValueError("it has fewer images than it says")
                    yield number, read
        except Exception as error:  # what TFDS or records raise when their files are damaged
            raise UserError(
                f"data set '{data.dataset}' cannot be read to its end: {cause(error)}"
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
        finally:  # also where the caller wants no more
            threads.shutdown(cancel_futures=True)


def load(data, channels, split, limit=None, with_labels=False):
    """Reads a split: crops, resizes to `image_size` (half of it for corners), quantises.

    Files that cannot be read, or are smaller than `image_size`, are left out, counted
    and named on standard error.

    Args:
        data: `prsr.hparams.DataHparams`.
        channels: 1 or 3.
        split: `"train"`, `"validation"` or `"test"`.
        limit: only the first so many images of the split, or None for all.
        with_labels: whether to read the classes of the images, too.

    Returns:
        An `ImageSet`.

    Raises:
        UserError: nothing could be read, an image does not fit the crop, or there are no
            labels.
    """
    source = sources.open_source(data.dataset, data.split, channels, data.root)
    source.check(data)
    names = source.names(split)[:limit]
    if not names:
        raise UserError(
            f"data set '{data.dataset}' has no image for {split} by split={data.split}; add some, "
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
    """A square picture as `ImageSet.images` holds it.

    Args:
        square: `[side, side, channels]` uint8.
        data: `prsr.hparams.DataHparams`.

    Returns:
        `[size, size, channels]` uint8 tensor, where `size` is `pool_size(data)`.
    """
    return images.reduce_levels(images.resize(square, (pool_size(data),) * 2), data.levels)


def pool_size(data):
    """Height and width of `ImageSet.images`: what lies in a corner has half the image's."""
    return data.image_size if data.pairs == "downsampled" else data.image_size // 2


def report_skipped(problems, count, split, most=10):
    """Counts the images that cannot be used, and names some, on standard error.

    Args:
        problems: a dict from names to errors.
        count: images in all.
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
