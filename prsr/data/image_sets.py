"""From a source to a split of small images, in memory or on disk."""

import dataclasses
import os
import sys

import numpy as np
import tensorflow as tf

from prsr import images, progress
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
    source = sources.open_source(data.dataset, data.split, channels)
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
    pending, problems, ended = {}, {}, []

    def reads():
        # Sources yield functions: the reading itself happens in the parallel map.
        try:
            for start, stop in ranges:
                for number, read in zip(range(start, stop), source.arrays(split, start, stop)):
                    pending[number] = read
                    yield number
            raise ValueError("it has fewer images than it says")
        except Exception as error:  # what TFDS or records raise when their files are damaged
            ended.append(error)

    def read_and_crop(number):
        try:
            if number < 0:
                raise ValueError("the source has ended")
            image = pending.pop(number)()
            if "crop" not in source.made_with:
                image = images.crop(image, data.crop)
            if image.shape[0] < size:
                raise ValueError(f"smaller than {size}x{size}")
            return image
        except UserError as error:
            problems[number] = UserError(f"{names[number]}: {error}")
        except (OSError, ValueError) as error:
            problems[number] = error
        return np.zeros((1, 1, channels), np.uint8)

    def prepare(number):
        image = tf.numpy_function(read_and_crop, [number], tf.uint8, stateful=False)
        image.set_shape((None, None, channels))
        return number, to_pool(image, data)

    numbers = reads()

    def next_number(_):
        # Not Dataset.from_generator, which has the whole process return its memory all the time.
        return tf.numpy_function(lambda: next(numbers, -1), [], tf.int64)

    total = sum(stop - start for start, stop in ranges)
    dataset = tf.data.Dataset.range(total).map(next_number)
    dataset = untuned(dataset.map(prepare, num_parallel_calls=os.cpu_count()))
    for number, image in _until_broken(dataset, data):
        if number < 0:
            raise UserError(
                f"data set '{data.dataset}' cannot be read to its end: {cause(*ended)}"
            ) from ended[0]
        problem = problems.pop(number, None)
        if isinstance(problem, UserError):
            raise problem
        yield number, image if problem is None else None, problem


def _until_broken(dataset, data):
    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.OpError as error:
        if "KeyboardInterrupt" in str(error):  # it was met by Python within TensorFlow
            raise KeyboardInterrupt from error
        raise UserError(f"data set '{data.dataset}' cannot be read: {cause(error)}") from error


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
    source = sources.open_source(data.dataset, data.split, channels)
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


def untuned(dataset):
    """TensorFlow 2.21 may wait for its tuning thread for minutes when an iterator is deleted."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
