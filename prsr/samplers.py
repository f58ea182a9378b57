"""One way to draw from any model: the paper's, and its pixel independent baselines."""

import tensorflow as tf

from prsr.models.conditioning import ConditioningNetwork
from prsr.models.pixel_recursive import PixelRecursiveSuperResolution
from prsr.sampling import cached, draws


def sampler(model):
    """The sampler of a model.

    Args:
        model: a built `PixelRecursiveSuperResolution`, `ConditioningNetwork` (each
            sub-pixel is then drawn by itself) or `RegressionNetwork` (whose one
            prediction knows neither seeds nor tau).

    Returns:
        A function `(low_res, seeds, tau)` to `[batch, height, width, channels]` uint8, as
        `prsr.sampling.cached.sampler`.
    """
    if isinstance(model, PixelRecursiveSuperResolution):
        return cached.sampler(model)

    @tf.function(reduce_retracing=True)
    def draw(low_res, seeds, tau):
        if not isinstance(model, ConditioningNetwork):
            return model.predict_images(low_res)
        logits = tf.cast(model(low_res), tf.float32)
        drawn = draws.draw(logits, tau, draws.uniforms(seeds, logits.shape[1:4]))
        return tf.cast(drawn, tf.uint8)

    def sample_images(low_res, seeds, tau):
        seeds = tf.convert_to_tensor(seeds, tf.int32)
        return draw(tf.convert_to_tensor(low_res), seeds, tf.constant(tau, tf.float32)).numpy()

    return sample_images


def mean(model):
    """The mean of a pixel independent model, rounded: what minimises the squared error.

    Args:
        model: a built `ConditioningNetwork`.

    Returns:
        A function `low_res` to `[batch, height, width, channels]` uint8.
    """

    @tf.function(reduce_retracing=True)
    def expect(low_res):
        probabilities = tf.nn.softmax(tf.cast(model(low_res), tf.float32))
        values = tf.range(probabilities.shape[-1], dtype=tf.float32)
        return tf.cast(tf.round(tf.tensordot(probabilities, values, 1)), tf.uint8)

    return lambda low_res: expect(tf.convert_to_tensor(low_res)).numpy()
