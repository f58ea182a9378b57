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
        jit_compile: whether to compile the paper's model with XLA.
        devices: names of the devices that share each batch, from `prsr.system.backend.devices`.
    """

    def __init__(self, model, downsampling="antialiased", jit_compile=True, devices=()):
        self._downsampling = downsampling
        if isinstance(model, PixelRecursiveSuperResolution):
            self._draw = cached.Sampler(model, jit_compile, devices)
        else:
            self._draw = _independent_sampler(model)

    def __call__(self, low_res, seeds, sampling, given=None):
        """Draws a batch of images.

        Args:
            low_res: `[batch, low height, low width, channels]` uint8.
            seeds: `[batch, 2]` int32.
            sampling: a `prsr.hparams.Sampling`.
            given: values to keep, as for `prsr.sampling.cached.Sampler`; the paper's model only.

        Returns:
            `[batch, height, width, channels]` uint8.
        """
        drawn = self._draw(low_res, seeds, sampling.tau, given, sampling.guidance)
        if not sampling.match_input:
            return drawn
        return np.asarray(projection.match(drawn, low_res, self._downsampling, given))

    def warm_up(self, shape):
        """As `prsr.sampling.cached.Sampler.warm_up`; baselines need none."""
        if isinstance(self._draw, cached.Sampler):
            self._draw.warm_up(shape)


sampler = Sampler  # as `naive.sampler`


def _independent_sampler(model):
    """Returns the sampler of a baseline, which ignores `given` and `guidance`."""

    @tf.function(reduce_retracing=True, autograph=False)
    def draw(low_res, seeds, tau):
        if not model.has_likelihood:
            return model.predict_images(low_res)
        logits = tf.cast(model(low_res), tf.float32)
        drawn = noise.draw(logits, tau, noise.uniforms(seeds, logits.shape[1:4]))
        return tf.cast(drawn, tf.uint8)

    def sample_images(low_res, seeds, tau, given, guidance):
        seeds = tf.convert_to_tensor(seeds, tf.int32)
        return draw(tf.convert_to_tensor(low_res), seeds, tf.constant(tau, tf.float32)).numpy()

    return sample_images


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


def draw(sampler, low_res, seeds, sampling, batch_size, bar=None, given=None):
    """Draws any number of images in batches of one size, so that the sampler compiles only once.

    Args:
        sampler: a `Sampler`, or a function with its arguments.
        low_res: `[count, low height, low width, channels]` uint8.
        seeds: `[count, 2]` int32.
        sampling: `prsr.hparams.Sampling`.
        batch_size: images per batch; does not affect the images.
        bar: a `prsr.system.progress.Progress` to update, or None.
        given: `[height, width, channels]`, values that every image keeps, 0..255, and -1 where to
            draw; or None.

    Returns:
        `[count, height, width, channels]` uint8 array.
    """
    return np.stack(list(stream(sampler, low_res, seeds, sampling, batch_size, bar, given)))


def stream(sampler, low_res, seeds, sampling, batch_size, bar=None, given=None):
    """Like `draw`, but yields images one by one as soon as their batch is drawn."""
    count, done = len(seeds), 0
    continued = {} if given is None else {"given": given}
    for batch in likelihood.batches(count, batch_size):
        drawn = sampler(low_res[batch], seeds[batch], sampling, **continued)[: count - done]
        done += len(drawn)
        if bar:
            bar.update(done)
        yield from drawn


def repeat(low_res, num_samples, seed):
    """Returns `(low_res, seeds)` to draw several samples of each input from the user's seed."""
    seeds = np.concatenate([noise.image_seeds(image, seed, num_samples) for image in low_res])
    return low_res.repeat(num_samples, 0), seeds


def draw_samples(sampler, low_res, num_samples, seed, sampling, batch_size, bar=None, given=None):
    """Draws several samples of each input.

    Args:
        sampler: as for `draw`.
        low_res: `[count, low height, low width, channels]` uint8.
        num_samples: number of samples per input.
        seed: the user's seed, from which each sample's seed is derived.
        sampling, batch_size, bar, given: as for `draw`.

    Returns:
        `[count, num_samples, height, width, channels]` uint8 array.
    """
    repeated = repeat(low_res, num_samples, seed)
    drawn = draw(sampler, *repeated, sampling, batch_size, bar, given)
    return drawn.reshape(len(low_res), num_samples, *drawn.shape[1:])
