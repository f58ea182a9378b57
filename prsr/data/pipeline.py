"""From a source to batches of pairs, in `tf.data`.

A split is read once, cropped and reduced to small uint8 images in memory (CelebA's
162,770 training images are 500 MB); records are images already, and stay on disk. The order
of training is then a pure function of (seed, step), so a run that stopped goes on with the
batch it would have seen next, and each of several machines reads its part of every batch.
"""

import dataclasses
import os
import sys

import numpy as np
import tensorflow as tf

from prsr import images, progress
from prsr.data import corners, sources
from prsr.errors import UserError, cause


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """A split in memory.

    Attributes:
        names: list of names.
        images: `[len(names), size, size, channels]` uint8: high-resolution images, or what
            is placed in their corners, at half their size (`--pairs`).
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


@dataclasses.dataclass(frozen=True)
class Parts:
    """Which of the equal parts of every batch are read here, one after the other.

    Attributes:
        first: the first of them.
        count: how many.
        total: of how many parts.
    """

    first: int = 0
    count: int = 1
    total: int = 1

    def elements(self, first_step, steps, batch_size):
        """The parts of so many steps.

        Returns:
            A `tf.data.Dataset` of `(step, places)`: int64, and the int64 `[batch_size / total]`
            places in the batch.
        """
        size = batch_size // self.total

        def element(number):
            start = (self.first + number % self.count) * size
            return number // self.count, start + tf.range(size, dtype=tf.int64)

        most = np.iinfo(np.int64).max
        first, last = first_step * self.count, min((first_step + steps) * self.count, most)
        return tf.data.Dataset.range(first, last).map(element)


WHOLE = Parts()


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
            image = images.crop(pending.pop(number)(), data.crop)
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
        return number, images.reduce_levels(images.resize(image, (size, size)), data.levels)

    numbers = reads()

    def next_number(_):
        # Not Dataset.from_generator, which has the whole process return its memory all the time.
        return tf.numpy_function(lambda: next(numbers, -1), [], tf.int64)

    total = sum(stop - start for start, stop in ranges)
    dataset = tf.data.Dataset.range(total).map(next_number)
    dataset = _untuned(dataset.map(prepare, num_parallel_calls=os.cpu_count()))
    for number, image in _until_broken(dataset, data):
        if number < 0:
            raise UserError(
                f"--dataset={data.dataset} cannot be read to its end: {cause(*ended)}"
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
        raise UserError(f"--dataset={data.dataset} cannot be read: {cause(error)}") from error


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
    names = source.names(split)[:limit]
    if not names:
        raise UserError(
            f"--dataset={data.dataset} has no image for {split} by --split={data.split}; "
            f"add some, or use --split=hash"
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
            f"--dataset={data.dataset}: none of the {len(names)} {split} images is usable"
        )
    labels = source.labels(split)[good] if with_labels else None
    if problems:
        names, pool = [names[number] for number in good], pool[good]
    return ImageSet(names, pool, labels)


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


def shuffled(positions, num_images, seed):
    """The image at each position of an endless order: every epoch is a permutation of all.

    Args:
        positions: int64 tensor `[count]`, 0 or more.
        num_images: images in an epoch.
        seed: int.

    Returns:
        int64 tensor `[count]` in 0..num_images - 1.
    """
    epochs = positions // num_images
    seeds = tf.stack([tf.fill(tf.shape(epochs), tf.constant(seed, tf.int64)), epochs, epochs], 1)
    # The raw op: tf.random.experimental.index_shuffle mistakes a seed for each index.
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % num_images, seed=seeds, max_index=num_images - 1, rounds=4
    )


def make_pairs(pool, second, data, scale):
    """What is given and what is to be predicted (`--pairs`).

    Args:
        pool: `[batch, size, size, channels]` uint8, of `ImageSet.images`.
        second: `[batch]` bool, of corners: whether the second is the right one.
        data: `prsr.hparams.DataHparams`.
        scale: the upscaling factor.

    Returns:
        `(low_res, high_res)`, uint8 `[batch, size / scale, size / scale, channels]` and
        `[batch, size, size, channels]`, where `size` is `data.image_size`.
    """
    if data.pairs == "downsampled":
        return images.downsample(pool, scale, data.downsampling), pool
    return (
        corners.low_res(pool, scale, data.downsampling),
        corners.high_res(pool, second, data.pairs),
    )


def pair(square, data, scale):
    """The pair of one picture that is already cropped.

    Args:
        square: `[side, side, channels]` uint8.
        data: `prsr.hparams.DataHparams`.
        scale: the upscaling factor.

    Returns:
        `(low_res, high_res)`, uint8 arrays `[height, width, channels]`.
    """
    image = images.reduce_levels(images.resize(square, (pool_size(data),) * 2), data.levels)
    low_res, high_res = make_pairs(image[None], np.array([False]), data, scale)
    return np.asarray(low_res)[0], np.asarray(high_res)[0]


def blocks(data, channels, scale, split, block_size):
    """Every image of a split as a pair, block by block, for one pass after another.

    `--dataset=records:` is read anew in every pass and never held in memory.

    Args:
        data: `prsr.hparams.DataHparams`.
        channels: 1 or 3.
        scale: the upscaling factor.
        split: `"train"`, `"validation"` or `"test"`.
        block_size: pairs a block; the last may have fewer.

    Returns:
        `(dataset, count)`: a `tf.data.Dataset` of `(low_res, high_res)` as `make_pairs`, and
        how many images it has in all.

    Raises:
        UserError: as `load`.
    """
    source = sources.open_source(data.dataset, data.split, channels)
    if isinstance(source, sources.Records) and source.fits(split, data):
        files = source.files(split)
        pools, count = files.blocks(block_size), len(files)
    else:
        image_set = load(data, channels, split)
        count = len(image_set)
        with tf.device("CPU:0"):
            pools = tf.data.Dataset.from_tensor_slices(image_set.images).batch(block_size)
    starts = tf.data.Dataset.range(0, np.iinfo(np.int64).max, block_size)

    def pairs(start, pool):
        positions = start + tf.range(tf.shape(pool, tf.int64)[0])
        return make_pairs(pool, positions % 2 == 1, data, scale)

    dataset = tf.data.Dataset.zip(starts, pools).map(pairs, num_parallel_calls=2)
    return dataset.prefetch(1), count


def evaluation_arrays(image_set, data, scale):
    """Every image of a split as a pair; of corners every other is in the second.

    Args:
        image_set: an `ImageSet`.
        data: `prsr.hparams.DataHparams`.
        scale: the upscaling factor.

    Returns:
        `(low_res, high_res)`, uint8 arrays, as `make_pairs`.
    """
    low_res, high_res = [], []
    for low, high, weight in evaluation_pairs(image_set, data, scale, 256).as_numpy_iterator():
        kept = weight > 0
        low_res.append(low[kept])
        high_res.append(high[kept])
    return np.concatenate(low_res), np.concatenate(high_res)


def training_pairs(image_set, data, scale, batch_size, seed, first_step=0, parts=WHOLE):
    """Batches for training, without end.

    Args:
        image_set: what `training_set` returned.
        data: `prsr.hparams.DataHparams`.
        scale: the upscaling factor.
        batch_size: images a batch.
        seed: of the order and the mirroring.
        first_step: the step whose batch comes first.
        parts: `Parts` of each batch, each an element of its own.

    Returns:
        A `tf.data.Dataset` of `(low_res, high_res)`, as `make_pairs`.
    """
    read, num_images = image_set.reader(), len(image_set)

    def coins(seed, step, places):
        seeds = [tf.cast(seed, tf.int64), step]
        return tf.gather(tf.random.stateless_uniform([batch_size], seeds) < 0.5, places)

    def pairs(step, places):
        batch = read(shuffled(step * batch_size + places, num_images, seed))
        if data.mirror:
            mirrored = coins(seed, step, places)[:, None, None, None]
            batch = tf.where(mirrored, tf.reverse(batch, [2]), batch)
        return make_pairs(batch, coins(seed + 1, step, places), data, scale)

    return _ahead(parts.elements(first_step, np.iinfo(np.int64).max, batch_size), pairs)


def _ahead(elements, pairs):
    """Computes `pairs` of elements on all cores, some before they are asked for."""
    cores = os.cpu_count()
    return _untuned(elements.map(pairs, num_parallel_calls=cores).prefetch(2 * cores))


def _untuned(dataset):
    """TensorFlow 2.21 may wait for its tuning thread for minutes when an iterator is deleted."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def evaluation_pairs(image_set, data, scale, batch_size, parts=WHOLE):
    """Every image of a split once, in order; the last batch is filled up, with weight zero.

    Args:
        image_set: an `ImageSet`.
        data: `prsr.hparams.DataHparams`.
        scale: the upscaling factor.
        batch_size: images a batch.
        parts: as `training_pairs`.

    Returns:
        A `tf.data.Dataset` of `(low_res, high_res, weight)`: as `training_pairs`, with
        `[batch]` float32 ones, or zeros where an image only fills the batch.
    """
    read, count = image_set.reader(), len(image_set)

    def pairs(step, places):
        positions = step * batch_size + places
        batch = read(tf.minimum(positions, count - 1))
        weight = tf.cast(positions < count, tf.float32)
        return *make_pairs(batch, positions % 2 == 1, data, scale), weight

    steps = -(-count // batch_size)
    return _ahead(parts.elements(0, steps, batch_size), pairs)
