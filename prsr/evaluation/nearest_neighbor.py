"""The nearest neighbour baseline, an exact search by matrix products."""

import numpy as np
import tensorflow as tf

from prsr.system import progress

BLOCK = 16384  # database images per block
_QUERIES = 1024  # inputs per search; their distances to a block take 64 MiB


def find_nearest(database, count, low_res):
    """Finds the high-resolution image of each input's nearest training input.

    The distance is Euclidean between low-resolution uint8 images; among equally near ones the first
    wins. The database is read once, block by block, for all inputs, so memory holds only a few
    blocks, whatever its size.

    `database` and its `count` are as from `pipeline.blocks`. `low_res` is `[batch, height, width,
    channels]` uint8, the result `[batch, height * scale, width * scale, channels]`.
    """
    searches = [
        Search(low_res[start : start + _QUERIES]) for start in range(0, len(low_res), _QUERIES)
    ]
    found, seen = None, 0
    bar = progress.Progress("searching the training images", count)
    for low_block, high_block in database:
        if found is None:
            found = np.empty((len(low_res), *high_block.shape[1:]), np.uint8)
        for number, search in enumerate(searches):
            nearer, index = search.add(low_block)
            found[number * _QUERIES + nearer] = tf.gather(high_block, index)
        seen += len(low_block)
        bar.update(seen)
    return found


class Search:
    """Keeps track of the nearest image seen so far for each input, `[batch, ...]` uint8.

    |q - d|^2 = |q|^2 + (|d|^2 - 2 q.d), and only the bracket depends on the database. It is the
    product of (q, 2048, 1) and (-2 d, h, l), where |d|^2 = 2048 h + l; the smallest entry of each
    row wins. Values are shifted by 128, which changes no distance. Factors then have at most 11
    bits, which even a GPU's TF32 keeps, and all terms are integers below 2^24, exact in float32,
    for images of up to 341 values (8x8 RGB has 192).
    """

    def __init__(self, low_res):
        ones = tf.ones([len(low_res), 1])
        self._queries = tf.concat([_shifted(tf.convert_to_tensor(low_res)), 2048 * ones, ones], 1)
        self._best = tf.fill([len(low_res)], np.float32(np.inf))

    def add(self, block):
        """Searches one more block of the database, `[count, height, width, channels]` uint8.

        Returns two int arrays of equal length: the inputs for which the block has a nearer image
        than all before, and the index of the first nearest one in the block.
        """
        nearer, index, self._best = _nearest(self._queries, self._best, block)
        return nearer.numpy(), index.numpy()


def _shifted(image):
    flat = tf.reshape(image, (tf.shape(image)[0], -1))
    return tf.cast(flat, tf.float32) - 128.0


@tf.function(reduce_retracing=True, autograph=False)
def _nearest(queries, best, block):
    entries = _shifted(block)
    norms = tf.reduce_sum(tf.square(entries), axis=1, keepdims=True)
    high = tf.floor(norms / 2048.0)
    columns = tf.concat([-2.0 * entries, high, norms - 2048.0 * high], axis=1)
    distances = tf.matmul(queries, columns, transpose_b=True)
    nearest = tf.reduce_min(distances, axis=1)
    # Few inputs find a nearer image in a later block, so compute the index for those only.
    nearer = tf.where(nearest < best)[:, 0]
    index = tf.argmin(tf.gather(distances, nearer), axis=1)
    return nearer, index, tf.minimum(best, nearest)
