"""From a source to batches of pairs, in `tf.data`.

A split is read once, cropped and reduced to small uint8 images in memory (CelebA's
162,770 training images are 500 MB). The order of training is then a pure function of
(seed, step), so a run that stopped goes on with the batch it would have seen next.
"""

import dataclasses
import itertools
import sys

import numpy as np
import tensorflow as tf

from prsr import images, progress
from prsr.data import corners, sources
from prsr.errors import UserError


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
    problems = {}
    arrays = itertools.islice(zip(names, source.arrays(split)), len(names))

    def reads():
        # Sources yield functions: the reading itself happens in the parallel map.
        for number, (_, read) in enumerate(arrays):
            pending[number] = read
            yield number

    def read_and_crop(number):
        name = names[number]
        try:
            image = images.crop(pending.pop(number)(), data.crop)
            if image.shape[0] < size:
                raise ValueError(f"smaller than {size}x{size}")
            return image
        except UserError as error:
            problems[name] = UserError(f"{name}: {error}")
        except (OSError, ValueError) as error:
            problems[name] = error
        return np.zeros((1, 1, channels), np.uint8)

    def prepare(number):
        image = tf.numpy_function(read_and_crop, [number], tf.uint8, stateful=False)
        image.set_shape((None, None, channels))
        return number, images.reduce_levels(images.resize(image, (size, size)), data.levels)

    pending = {}
    dataset = tf.data.Dataset.from_generator(
        reads, output_signature=tf.TensorSpec((), tf.int64)
    ).map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    pool = np.empty((len(names), size, size, channels), np.uint8)
    bar = progress.Progress(f"reading {split} images", len(names))
    for number, image in dataset.as_numpy_iterator():
        mismatch = problems.get(names[number])
        if isinstance(mismatch, UserError):
            raise mismatch
        pool[number] = image
        bar.update(number + 1)
    good = [number for number, name in enumerate(names) if name not in problems]
    _report(problems, len(names), split)
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


def _report(problems, count, split, most=10):
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


def _pool(image_set):
    with tf.device("CPU:0"):  # a data set need not fit a GPU's memory
        return tf.constant(image_set.images)


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
        pools, count = files.blocks(block_size), files.count
    else:
        image_set = load(data, channels, split)
        count = len(image_set.names)
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


def training_pairs(image_set, data, scale, batch_size, seed, first_step=0):
    """Batches for training, without end.

    Args:
        image_set: the training `ImageSet`.
        data: `prsr.hparams.DataHparams`.
        scale: the upscaling factor.
        batch_size: images a batch.
        seed: of the order and the mirroring.
        first_step: the step whose batch comes first.

    Returns:
        A `tf.data.Dataset` of `(low_res, high_res)`, as `make_pairs`.
    """
    pool = _pool(image_set)
    num_images = len(image_set.names)

    def coins(seed, step):
        return tf.random.stateless_uniform([batch_size], [tf.cast(seed, tf.int64), step]) < 0.5

    def pairs(step):
        positions = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        batch = tf.gather(pool, shuffled(positions, num_images, seed))
        if data.mirror:
            batch = tf.where(coins(seed, step)[:, None, None, None], tf.reverse(batch, [2]), batch)
        return make_pairs(batch, coins(seed + 1, step), data, scale)

    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    return steps.map(pairs, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def evaluation_pairs(image_set, data, scale, batch_size):
    """Every image of a split once, in order; the last batch is filled up, with weight zero.

    Args:
        image_set: an `ImageSet`.
        data: `prsr.hparams.DataHparams`.
        scale: the upscaling factor.
        batch_size: images a batch.

    Returns:
        A `tf.data.Dataset` of `(low_res, high_res, weight)`: as `training_pairs`, with
        `[batch]` float32 ones, or zeros where an image only fills the batch.
    """
    count = len(image_set.names)
    padded = -(-count // batch_size) * batch_size
    pool = _pool(image_set)

    def pairs(positions):
        batch = tf.gather(pool, tf.minimum(positions, count - 1))
        weight = tf.cast(positions < count, tf.float32)
        return *make_pairs(batch, positions % 2 == 1, data, scale), weight

    positions = tf.data.Dataset.range(padded).batch(batch_size, drop_remainder=True)
    return positions.map(pairs).prefetch(tf.data.AUTOTUNE)
