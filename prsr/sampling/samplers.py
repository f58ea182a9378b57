"""A common sampling interface for the paper's model and its pixel-independent baselines."""

import numpy as np
import tensorflow as tf

from prsr.models import likelihood
from prsr.models.pixel_recursive import PixelRecursiveSuperResolution
from prsr.sampling import cached, noise, projection
from prsr.system.errors import UserError


class Sampler:
    """Draws batches of images from a trained model.

    Args:
        model: a built model: the paper's, the pixel-independent one (which draws each sub-pixel
            independently) or the regression (whose single prediction ignores seeds and tau).
        downsampling: how the model's inputs are made, one of `prsr.hparams.DOWNSAMPLING`.
        jit_compile, devices: as for `prsr.sampling.cached.Sampler`.
    """

    def __init__(self, model, downsampling="antialiased", jit_compile=True, devices=()):
        self._downsampling = downsampling
        if isinstance(model, PixelRecursiveSuperResolution):
            self._draw = cached.Sampler(model, jit_compile, devices)
        else:
            self._draw = _independent_sampler(model)

    def __call__(self, low_res, seeds, sampling, given=None):
        """Draws a batch of images, as `prsr.sampling.cached.Sampler` does.

        Its `tau` and `guidance` are in `sampling`, a `prsr.hparams.Sampling`. `guidance` and
        `given` are for the paper's model only.
        """
        seeds, tau = np.asarray(seeds, np.int32), np.float32(sampling.tau)
        drawn = self._draw(low_res, seeds, tau, given, sampling.guidance)
        if sampling.match_input:
            drawn = projection.match(drawn, low_res, self._downsampling, given)
        return np.asarray(drawn)

    def warm_up(self, shape):
        """As `prsr.sampling.cached.Sampler.warm_up`; baselines need none."""
        if isinstance(self._draw, cached.Sampler):
            self._draw.warm_up(shape)


def _independent_sampler(model):
    """Returns the sampler of a baseline, which ignores `given` and `guidance`."""

    @tf.function(reduce_retracing=True, autograph=False)
    def draw(low_res, seeds, tau, given, guidance):
        if not model.has_likelihood:
            return model.predict_images(low_res)
        logits = tf.cast(model(low_res), tf.float32)
        drawn = noise.draw(logits, tau, noise.uniforms(seeds, logits.shape[1:4]))
        return tf.cast(drawn, tf.uint8)

    return draw


def check(sampling, hparams):
    """Rejects a `prsr.hparams.Sampling` that a model with these `Hparams` does not support.

    Raises:
        UserError: names the setting.
    """
    sampling.check()
    if sampling.guidance:
        hparams.model.require_prior("use guidance")
    if sampling.match_input and hparams.data.pairs != "downsampled":
        raise UserError(
            f"match_input needs inputs that are downsampled images, but this model was trained "
            f"with pairs={hparams.data.pairs}; leave it out"
        )


def stream(sampler, low_res, seeds, sampling, batch_size, bar=None, given=None):
    """Draws any number of images in batches of one size, so that the sampler compiles only once.

    Args:
        sampler: a `Sampler`, or a function with its arguments.
        low_res: `[count, low height, low width, channels]` uint8.
        seeds: `[count, 2]` int32.
        sampling: `prsr.hparams.Sampling`.
        batch_size: images per batch; does not affect the images.
        bar: a `prsr.system.progress.Progress` to update, or None.
        given: as for `prsr.sampling.cached.Sampler`, for all images; or None.

    Yields:
        `[height, width, channels]` uint8 arrays, as soon as their batch is drawn.
    """
    count, done = len(seeds), 0
    for batch in likelihood.batches(count, batch_size):
        drawn = sampler(low_res[batch], seeds[batch], sampling, given)[: count - done]
        done += len(drawn)
        if bar:
            bar.update(done)
        yield from drawn


def repeat(low_res, num_samples, seed):
    """Returns `(low_res, seeds)` to draw several samples of each input from the user's seed."""
    seeds = np.concatenate([noise.image_seeds(image, seed, num_samples) for image in low_res])
    return low_res.repeat(num_samples, 0), seeds


def draw_samples(sampler, low_res, num_samples, seed, sampling, batch_size, bar=None, given=None):
    """Draws several samples of each input, `[count, num_samples, height, width, channels]` uint8.

    Each sample's seed is derived from `seed`, the user's; other arguments as for `stream`.
    """
    repeated = repeat(low_res, num_samples, seed)
    drawn = np.stack(list(stream(sampler, *repeated, sampling, batch_size, bar, given)))
    return drawn.reshape(len(low_res), num_samples, *drawn.shape[1:])
