"""Makes batches of training and evaluation pairs with `tf.data`.

A split is read once, cropped and reduced to small uint8 images in memory (CelebA's 162,770 training
images take 500 MB); records already hold small images and stay on disk. The training order is a
pure function of (seed, step), so a resumed run continues with the batch it would have seen next,
and each of several machines reads its part of every batch.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from prsr.data import image_sets, preprocessing
from prsr.system import backend, host

backend.require_tensorflow("prsr.data.pipeline")


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which of the equal parts of every batch this machine reads, one after the other.

    Attributes:
        first: number of the first part.
        count: number of parts read here.
        total: number of parts of a batch.
    """

    first: int = 0
    count: int = 1
    total: int = 1

    def elements(self, first_step, steps, batch_size):
        """Returns a `tf.data.Dataset` of `(step, places)` for so many steps.

        These are the int64 step, and the int64 `[batch_size / total]` places of a part in the
        batch.
        """
        size = batch_size // self.total

        def element(number):
            start = (self.first + number % self.count) * size
            return number // self.count, start + tf.range(size, dtype=tf.int64)

        most = np.iinfo(np.int64).max
        first, last = first_step * self.count, min((first_step + steps) * self.count, most)
        return tf.data.Dataset.range(first, last).map(element)


WHOLE = Shard()


def shuffled(positions, num_images, seed):
    """Returns the image at each position of an endless order; every epoch is a new permutation.

    Args:
        positions: int64 tensor `[count]`, 0 or more.
        num_images: images in an epoch.
        seed: int.

    Returns:
        int64 tensor `[count]` in 0..num_images - 1.
    """
    epochs = positions // num_images
    seeds = tf.stack([tf.fill(tf.shape(epochs), tf.constant(seed, tf.int64)), epochs, epochs], 1)
    # The raw op, because tf.random.experimental.index_shuffle mishandles one seed per index.
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % num_images, seed=seeds, max_index=num_images - 1, rounds=4
    )


def blocks(source, data, scale, split, block_size):
    """Returns every image of a split as a pair, in blocks, for any number of passes.

    Records are read again in every pass and never held in memory.

    Args:
        source, data, split: as for `prsr.data.image_sets.load`.
        scale: the upscaling factor.
        block_size: pairs per block; the last block may have fewer.

    Returns:
        `(dataset, count)`: a `tf.data.Dataset` of `(low_res, high_res)` as from
        `prsr.data.preprocessing.pairs`, and the total number of images.

    Raises:
        UserError: as for `prsr.data.image_sets.load`.
    """
    image_set = image_sets.training_set(source, data, split)
    return _pair_blocks(image_set, data, scale, block_size), len(image_set)


def _pair_blocks(image_set, data, scale, block_size):
    def pairs(start, batch):
        positions = start + tf.range(tf.shape(batch, tf.int64)[0])
        return preprocessing.pairs(batch, positions % 2 == 1, data, scale)

    starts = tf.data.Dataset.range(0, np.iinfo(np.int64).max, block_size)
    return _map_ahead(tf.data.Dataset.zip(starts, image_set.blocks(block_size)), pairs, 2, 1)


def evaluation_arrays(image_set, data, scale):
    """Returns `evaluation_pairs` as two uint8 arrays, `low_res` and `high_res`."""
    low_res, high_res = zip(*_pair_blocks(image_set, data, scale, 256).as_numpy_iterator())
    return np.concatenate(low_res), np.concatenate(high_res)


def test_pairs(source, hparams, count=None):
    """Returns the first `count` images (None: all) of a source's test split as pairs.

    `(names, low_res, high_res)` are a list and the arrays of `evaluation_arrays`. Errors are those
    of `prsr.data.image_sets.load`.
    """
    test_set = image_sets.load(source, hparams.data, "test", count)
    return test_set.names, *evaluation_arrays(test_set, hparams.data, hparams.model.scale)


def training_pairs(image_set, data, scale, batch_size, seed, first_step=0, shard=WHOLE):
    """Returns an endless dataset of training batches.

    Args:
        image_set: as `prsr.data.image_sets.training_set` returns it.
        data: `prsr.hparams.DataHparams`.
        scale: the upscaling factor.
        batch_size: images per batch.
        seed: seed of the order and the mirroring.
        first_step: the step whose batch comes first.
        shard: the `Shard` of each batch to read; each part is an element of its own.

    Returns:
        A `tf.data.Dataset` of `(low_res, high_res)`, as from `prsr.data.preprocessing.pairs`.
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
        return preprocessing.pairs(batch, coins(seed + 1, step, places), data, scale)

    return _map_ahead(shard.elements(first_step, np.iinfo(np.int64).max, batch_size), pairs)


def evaluation_pairs(image_set, data, scale, batch_size, shard=WHOLE):
    """Returns every image of a split once, in order; the last batch is padded with weight zero.

    Args:
        image_set: an `ImageSet`.
        data: `prsr.hparams.DataHparams`.
        scale: the upscaling factor.
        batch_size: images per batch.
        shard: as for `training_pairs`.

    Returns:
        A `tf.data.Dataset` of `(low_res, high_res, weight)`: pairs as from `training_pairs`, and
        `[batch]` float32 weights, 1 for an image and 0 for padding.
    """
    read, count = image_set.reader(), len(image_set)

    def pairs(step, places):
        positions = step * batch_size + places
        batch = read(tf.minimum(positions, count - 1))
        weight = tf.cast(positions < count, tf.float32)
        return *preprocessing.pairs(batch, positions % 2 == 1, data, scale), weight

    steps = -(-count // batch_size)
    return _map_ahead(shard.elements(0, steps, batch_size), pairs)


def _map_ahead(elements, pairs, calls=None, prefetched=None):
    """Applies `pairs` to the elements on all cores, with prefetching."""
    cores = host.cores()
    dataset = elements.map(pairs, num_parallel_calls=calls or cores)
    options = tf.data.Options()
    options.autotune.enabled = False  # TensorFlow 2.21 may wait minutes for its thread to end
    return dataset.prefetch(prefetched or 2 * cores).with_options(options)
