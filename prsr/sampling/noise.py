"""Seeds, uniform noise, and draws from tempered logits: the same in every sampler and batch."""

import zlib

import numpy as np
import tensorflow as tf

from prsr.system import backend

backend.require_tensorflow("sampling")

_MASK = 2**32 - 1
# What CRC-32 makes of each byte.
_CRC32 = np.array([zlib.crc32(bytes([byte]), _MASK) ^ _MASK for byte in range(256)])


def image_seeds(low_res, seed, num_samples):
    """Returns the seeds of an image's samples, `[num_samples, 2]` int32.

    They depend only on `seed`, the user's integer, and on the bytes of `low_res`, a uint8 array.
    """
    content = np.ascontiguousarray(low_res).tobytes()
    checksums = [zlib.crc32(content, k) >> 1 for k in range(num_samples)]
    return np.stack([np.full(num_samples, seed % 2**31), checksums], axis=1).astype(np.int32)


def image_seeds_in_graph(low_res, seed):
    """Computes the seed of one sample of each image as `image_seeds` does, but in a graph.

    `seed` is `[batch, 2]` int32: the user's seed, and the number of the sample from 1.
    """
    content = tf.reshape(tf.cast(low_res, tf.int64), (tf.shape(low_res)[0], -1))
    start = tf.cast(seed[:, 1] - 1, tf.int64) & _MASK ^ _MASK

    def add_byte(checksum, byte):
        return tf.gather(_CRC32, (checksum ^ byte) & 255) ^ (checksum // 256)

    checksums = tf.foldl(add_byte, tf.transpose(content), start) ^ _MASK
    return tf.stack([seed[:, 0] & (2**31 - 1), tf.cast(checksums // 2, tf.int32)], axis=1)


def uniforms(seeds, image_shape):
    """Draws the noise of each image: one uniform number per sub-pixel, from the image's seed alone.

    Eager execution and XLA turn the same random bits into different floats, so this draws bits and
    scales them itself.

    Args:
        seeds: `[batch, 2]` int32, one seed per image.
        image_shape: `(height, width, channels)`.

    Returns:
        `[batch, height, width, channels]` float32 in (0, 1).
    """

    def one_image(seed):
        return tf.random.stateless_uniform(
            image_shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
        )

    bits = tf.map_fn(one_image, seeds, fn_output_signature=tf.uint32)
    # 23 bits plus a half are exact in float32; with 24 bits the largest would round up to 1.
    return (tf.cast(tf.bitwise.right_shift(bits, 9), tf.float32) + 0.5) * 2.0**-23


def draw(logits, tau, uniform):
    """Draws from softmax(tau * logits) by inverting its cumulative distribution.

    Paper: tau is the inverse of the usual temperature (footnote 1). Larger is sharper; infinity is
    greedy and takes the largest logit.

    Args:
        logits: `[..., 256]` floating.
        tau: positive scalar, may be infinity.
        uniform: `[...]` in (0, 1), the noise of each draw.

    Returns:
        `[...]` int32, 0..255.
    """
    tau = tf.cast(tau, logits.dtype)
    greedy = tf.math.is_inf(tau)
    logits -= tf.reduce_max(logits, axis=-1, keepdims=True)
    weights = tf.exp(logits * tf.where(greedy, tf.ones_like(tau), tau))
    cumulative = _cumulative(weights)
    threshold = tf.cast(uniform, logits.dtype)[..., None] * cumulative[..., -1:]
    # Leave out the last sum, so that rounding cannot push a draw past 255.
    drawn = tf.reduce_sum(tf.cast(cumulative[..., :-1] <= threshold, tf.int32), axis=-1)
    return tf.where(greedy, tf.argmax(logits, axis=-1, output_type=tf.int32), drawn)


def _cumulative(weights):
    """Cumulative sums of 256 weights, in 16 blocks of 16: XLA's own does 16 times the additions."""
    shape = tf.shape(weights)
    blocks = tf.reshape(weights, tf.concat([shape[:-1], [16, 16]], axis=0))
    within = tf.cumsum(blocks, axis=-1)
    before = tf.cumsum(within[..., -1], axis=-1, exclusive=True)
    return tf.reshape(within + before[..., None], shape)
