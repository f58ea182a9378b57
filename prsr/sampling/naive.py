"""The reference sampler: slow but simple, with a full pass of the model for every sub-pixel.

Tests require the fast sampler (`cached`) to draw the same images.
"""

import math

import tensorflow as tf

from prsr.sampling import noise


def sample(logits, image_shape, seeds, tau, given=None, count=None):
    """Draws images sub-pixel by sub-pixel, in the order rows, columns, channels.

    Args:
        logits: function from images so far, `[batch, height, width, channels]` int32 in 0..255, to
            logits `[batch, height, width, channels, 256]`. Only the logits of the next sub-pixel
            are read.
        image_shape: `(height, width, channels)`.
        seeds: `[batch, 2]` int32; a sample depends only on its own seed, not on its batch.
        tau: scalar that multiplies the logits; infinity is greedy.
        given: `[batch, height, width, channels]` int32: values to keep, 0..255, and -1 where to
            draw; or None.
        count: number of sub-pixels to draw, leaving the others zero; None for all.

    Returns:
        `[batch, height, width, channels]` uint8.
    """
    batch, total = tf.shape(seeds)[0], math.prod(image_shape)
    uniforms = tf.reshape(noise.uniforms(seeds, image_shape), (batch, total))

    def draw_next(i, flat):
        drawn_so_far = tf.reshape(flat, (batch, *image_shape))
        next_logits = tf.reshape(logits(drawn_so_far), (batch, total, -1))[:, i]
        drawn = noise.draw(next_logits, tau, uniforms[:, i])
        if given is not None:
            known = tf.reshape(given, (batch, total))[:, i]
            drawn = tf.where(known < 0, drawn, known)
        index = tf.stack([tf.range(batch), tf.fill((batch,), i)], axis=1)
        return i + 1, tf.tensor_scatter_nd_update(flat, index, drawn)

    _, flat = tf.while_loop(
        lambda i, _: i < (total if count is None else count),
        draw_next,
        (tf.constant(0), tf.zeros((batch, total), tf.int32)),
    )
    return tf.cast(tf.reshape(flat, (batch, *image_shape)), tf.uint8)


def sampler(model, count=None):
    """Returns the reference sampler of a model.

    It has the arguments and result of `prsr.sampling.cached.Sampler`; `count` is as for `sample`.
    """

    @tf.function(reduce_retracing=True)
    def run(low_res, seeds, tau, given, guidance):
        height, width, channels = low_res.shape[1:]
        shape = (height * model.scale, width * model.scale, channels)

        def logits(drawn):
            joint = model((low_res, drawn), guidance=guidance).joint  # equation 6
            return tf.cast(joint, tf.float32)

        return sample(logits, shape, seeds, tau, given, count)

    def sample_images(low_res, seeds, tau, given=None, guidance=0.0):
        seeds = tf.convert_to_tensor(seeds, tf.int32)
        given = None if given is None else tf.constant(given, tf.int32)
        tau = tf.constant(tau, tf.float32)
        return run(tf.convert_to_tensor(low_res), seeds, tau, given, float(guidance)).numpy()

    return sample_images
