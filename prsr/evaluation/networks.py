"""The trained baselines: regression and cross-entropy."""

import numpy as np
import tensorflow as tf

from prsr.hparams import Sampling
from prsr.sampling import samplers

CHOICES = ("mode", "mean", "sample")


class Regression:
    """The prediction of a trained `RegressionNetwork`.

    Args:
        model: a built `prsr.models.regression.RegressionNetwork`.
        batch_size: images at once.
    """

    def __init__(self, model, batch_size=64):
        self._sampler, self._batch_size = samplers.sampler(model), batch_size

    def predict(self, low_res):
        """Enlarges images.

        Args:
            low_res: `[batch, height, width, channels]` uint8.

        Returns:
            `[batch, height * scale, width * scale, channels]` uint8 array.
        """
        seeds = np.zeros((len(low_res), 2), np.int32)  # ignored
        return samplers.draw(self._sampler, low_res, seeds, Sampling(), self._batch_size)


class CrossEntropy:
    """The images of a trained pixel-independent model (section 3.1).

    Args:
        model: a built `prsr.models.conditioning.ConditioningNetwork`.
        choice: `"mode"`, the most likely value; `"mean"`, the expected value, rounded; or
            `"sample"`, a draw.
        seed: seed of the samples.
        batch_size: images per batch.
    """

    def __init__(self, model, choice, seed=1, batch_size=64):
        self.choice, self._seed, self._batch_size = choice, seed, batch_size
        self._sampler = _mean(model) if choice == "mean" else samplers.sampler(model)

    def predict(self, low_res):
        """Enlarges images.

        Args:
            low_res: `[batch, height, width, channels]` uint8.

        Returns:
            `[batch, height * scale, width * scale, channels]` uint8 array.
        """
        return self.draw_samples(low_res, 1)[:, 0]

    def draw_samples(self, low_res, num_samples, bar=None):
        """Draws several images of each input; arguments and result as `samplers.draw_samples`."""
        sampling = Sampling(tau=1.0 if self.choice == "sample" else float("inf"))
        return samplers.draw_samples(
            self._sampler, low_res, num_samples, self._seed, sampling, self._batch_size, bar
        )


def _mean(model):
    """Returns a "sampler" of the mean, which minimises the expected squared error."""

    @tf.function(reduce_retracing=True, autograph=False)
    def expect(low_res):
        probabilities = tf.nn.softmax(tf.cast(model(low_res), tf.float32))
        values = tf.range(probabilities.shape[-1], dtype=tf.float32)
        return tf.cast(tf.round(tf.tensordot(probabilities, values, 1)), tf.uint8)

    return lambda low_res, seeds, sampling: expect(tf.convert_to_tensor(low_res)).numpy()
