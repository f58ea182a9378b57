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
from prsr.data import sources
from prsr.errors import UserError


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """A split in memory.

    Attributes:
        names: list of names.
        high_res: `[len(names), size, size, channels]` uint8.
    """

    names: list
    high_res: np.ndarray


def load(data, channels, split, limit=None):
    """Reads a split: crops, resizes to `image_size`, quantises.

    Files that cannot be read, or are smaller than `image_size`, are left out, counted
    and named on standard error.

    Args:
        data: `prsr.hparams.DataHparams`.
        channels: 1 or 3.
        split: `"train"`, `"validation"` or `"test"`.
        limit: only the first so many images of the split, or None for all.

    Returns:
        An `ImageSet`.

    Raises:
        UserError: nothing could be read, or an image does not fit the crop.
    """
    source = sources.open_source(data.dataset, data.split, channels)
    names = source.names(split)[:limit]
    if not names:
        raise UserError(
            f"--dataset={data.dataset} has no image for {split} by --split={data.split}; "
            f"add some, or use --split=hash"
        )
    size = data.image_size
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
        return number, images.resize(image, (size, size))

    pending = {}
    dataset = tf.data.Dataset.from_generator(
        reads, output_signature=tf.TensorSpec((), tf.int64)
    ).map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    high_res = np.empty((len(names), size, size, channels), np.uint8)
    bar = progress.Progress(f"reading {split} images", len(names))
    for number, image in dataset.as_numpy_iterator():
        mismatch = problems.get(names[number])
        if isinstance(mismatch, UserError):
            raise mismatch
        high_res[number] = image
        bar.update(number + 1)
    good = [number for number, name in enumerate(names) if name not in problems]
    _report(problems, len(names), split)
    if not good:
        raise UserError(
            f"--dataset={data.dataset}: none of the {len(names)} {split} images is usable"
        )
    if problems:
        names, high_res = [names[number] for number in good], high_res[good]
    return ImageSet(names, high_res)


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
        return tf.constant(image_set.high_res)


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
        A `tf.data.Dataset` of `(low_res, high_res)`, uint8
        `[batch, size / scale, size / scale, channels]` and `[batch, size, size, channels]`.
    """
    pool = _pool(image_set)
    num_images = len(image_set.names)

    def pairs(step):
        positions = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        high_res = tf.gather(pool, shuffled(positions, num_images, seed))
        if data.mirror:
            coins = tf.random.stateless_uniform([batch_size], [tf.cast(seed, tf.int64), step])
            high_res = tf.where(
                coins[:, None, None, None] < 0.5, tf.reverse(high_res, axis=[2]), high_res
            )
        return images.downsample(high_res, scale, data.downsampling), high_res

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
        high_res = tf.gather(pool, tf.minimum(positions, count - 1))
        weight = tf.cast(positions < count, tf.float32)
        return images.downsample(high_res, scale, data.downsampling), high_res, weight

    positions = tf.data.Dataset.range(padded).batch(batch_size, drop_remainder=True)
    return positions.map(pairs).prefetch(tf.data.AUTOTUNE)
