"""A common sampling interface for the paper's model and its pixel-independent baselines."""

import numpy as np
import tensorflow as tf

from prsr.models.pixel_recursive import PixelRecursiveSuperResolution
from prsr.sampling import cached, noise, projection
from prsr.system.errors import UserError


def sampler(model, downsampling="antialiased", jit_compile=True, first=None, devices=()):
    """Returns the sampler of a model.

    Args:
        model: a built `PixelRecursiveSuperResolution`, `ConditioningNetwork` (which draws each
            sub-pixel independently) or `RegressionNetwork` (whose single prediction ignores seeds
            and tau).
        downsampling: how the model's inputs are made, one of `prsr.hparams.DOWNSAMPLING`.
        jit_compile: whether to compile the paper's model with XLA.
        first: `(low_res.shape, sampling)` of the first call, to start compiling for it now, in the
            background. None compiles at the first call.
        devices: names of the devices that share each batch, from `prsr.system.backend.devices`.

    Returns:
        A function `(low_res, seeds, sampling, given=None)` that returns `[batch, height, width,
        channels]` uint8. `low_res` is `[batch, low height, low width, channels]` uint8, `seeds`
        `[batch, 2]` int32 and `sampling` a `prsr.hparams.Sampling`. `given` (the paper's model
        only) holds values to keep, as for `prsr.sampling.cached.sampler`.
    """
    if isinstance(model, PixelRecursiveSuperResolution):

        def rows(sampling):
            return downsampling if sampling.match_input == "rows" else None

        ahead = first and (first[0], rows(first[1]))
        draw_images = cached.sampler(model, jit_compile, ahead, devices)

        def draw_all(low_res, seeds, sampling, given):
            tau, guidance = sampling.tau, sampling.guidance
            return draw_images(low_res, seeds, tau, given, guidance, rows(sampling))
    else:
        draw_each = _each_by_itself(model)

        def draw_all(low_res, seeds, sampling, given):
            return draw_each(low_res, seeds, sampling.tau)

    def sample_images(low_res, seeds, sampling, given=None):
        drawn = draw_all(low_res, seeds, sampling, given)
        if sampling.match_input == "off":
            return drawn
        return np.asarray(projection.match(drawn, low_res, downsampling, given))

    return sample_images


def _each_by_itself(model):
    """Returns a function from `(low_res, seeds, tau)` to the images of a model without a prior."""

    @tf.function(reduce_retracing=True, autograph=False)
    def draw_each(low_res, seeds, tau):
        if not model.has_likelihood:
            return model.predict_images(low_res)
        logits = tf.cast(model(low_res), tf.float32)
        drawn = noise.draw(logits, tau, noise.uniforms(seeds, logits.shape[1:4]))
        return tf.cast(drawn, tf.uint8)

    def sample_images(low_res, seeds, tau):
        seeds = tf.convert_to_tensor(seeds, tf.int32)
        return draw_each(tf.convert_to_tensor(low_res), seeds, tf.constant(tau, tf.float32)).numpy()

    return sample_images


def check(sampling, hparams):
    """Rejects sampling settings that the model does not support.

    Args:
        sampling: `prsr.hparams.Sampling`.
        hparams: the model's `prsr.hparams.Hparams`.

    Raises:
        UserError: the model does not support a setting.
    """
    sampling.check()
    architecture, pairs = hparams.model.architecture, hparams.data.pairs
    if sampling.guidance and architecture != "pixel_recursive":
        raise UserError(
            f"guidance weighs A against B, but a {architecture} model does not have both; "
            f"leave it out"
        )
    if sampling.match_input != "off" and pairs != "downsampled":
        raise UserError(
            f"match_input={sampling.match_input} needs inputs that are downsampled images, but "
            f"this model was trained with pairs={pairs}; leave it out"
        )


def check_given(given, shape):
    """Checks the given values of an image.

    Args:
        given: expected to be an integer array of `shape`, with values from -1 (to draw) to 255.
        shape: `(height, width, channels)` of an image.

    Raises:
        ValueError: it is not.
    """
    came = type(given).__name__
    if isinstance(given, np.ndarray):
        came = f"{list(given.shape)} {given.dtype}"
        if given.shape == shape and np.issubdtype(given.dtype, np.integer):
            least, most = int(given.min()), int(given.max())
            if least >= -1 and most <= 255:
                return
            came += f" in {least}..{most}"
    raise ValueError(
        f"given must be an array of {list(shape)} integers from -1 (to draw) to 255; got {came}"
    )


def draw(sampler, low_res, seeds, sampling, batch_size, bar=None, given=None):
    """Draws any number of images in batches of one size, so that the sampler compiles only once.

    Args:
        sampler: as `sampler` returns it.
        low_res: `[count, height, width, channels]` uint8.
        seeds: `[count, 2]` int32.
        sampling: `prsr.hparams.Sampling`.
        batch_size: images per batch; does not affect the images.
        bar: a `prsr.system.progress.Progress` to update, or None.
        given: `[height * scale, width * scale, channels]`, values that every image keeps, 0..255,
            and -1 where to draw; or None.

    Returns:
        `[count, height * scale, width * scale, channels]` uint8 array.
    """
    return np.stack(list(stream(sampler, low_res, seeds, sampling, batch_size, bar, given)))


def stream(sampler, low_res, seeds, sampling, batch_size, bar=None, given=None):
    """Like `draw`, but yields images one by one as soon as their batch is drawn."""
    count, size = len(seeds), min(batch_size, len(seeds))
    continued = {}
    if given is not None:
        continued["given"] = np.broadcast_to(given, (size, *given.shape))
    for start in range(0, count, size):
        batch = np.arange(start, start + size) % count  # the last batch wraps around
        drawn = sampler(low_res[batch], seeds[batch], sampling, **continued)
        if bar:
            bar.update(min(start + size, count))
        yield from drawn[: count - start]


def draw_samples(sampler, low_res, num_samples, seed, sampling, batch_size, bar=None, given=None):
    """Draws several samples of each input.

    Args:
        sampler: as `sampler` returns it.
        low_res: `[count, height, width, channels]` uint8.
        num_samples: number of samples per input.
        seed: the user's seed, from which each sample's own is derived.
        sampling, batch_size, bar, given: as for `draw`.

    Returns:
        `[count, num_samples, size, size, channels]` uint8 array.
    """
    seeds = np.concatenate([noise.image_seeds(image, seed, num_samples) for image in low_res])
    repeated = low_res.repeat(num_samples, 0)
    drawn = draw(sampler, repeated, seeds, sampling, batch_size, bar, given)
    return drawn.reshape(len(low_res), num_samples, *drawn.shape[1:])
