"""One way to draw from any model: the paper's, and its pixel independent baselines."""

import numpy as np
import tensorflow as tf

from prsr.errors import UserError
from prsr.models.pixel_recursive import PixelRecursiveSuperResolution
from prsr.sampling import cached, noise, projection


def sampler(model, downsampling="antialiased", jit_compile=True, first=None, devices=()):
    """The sampler of a model.

    Args:
        model: a built `PixelRecursiveSuperResolution`, `ConditioningNetwork` (each
            sub-pixel is then drawn by itself) or `RegressionNetwork` (whose one
            prediction knows neither seeds nor tau).
        downsampling: how the model's inputs are made, one of `prsr.hparams.DOWNSAMPLING`.
        jit_compile: whether XLA compiles the paper's model.
        first: `(low_res.shape, sampling)` of the first call: what it needs is compiled in the
            background from now on. None compiles when it is called.
        devices: names of the devices that share each batch, as `prsr.backend.devices` returns them.

    Returns:
        A function `(low_res, seeds, sampling, given=None)` to `[batch, height, width, channels]`
        uint8: `low_res` is `[batch, low height, low width, channels]` uint8, `seeds` `[batch, 2]`
        int32 and `sampling` a `prsr.hparams.Sampling`. `given`, of the paper's model alone,
        continues images, as `prsr.sampling.cached.sampler` does; what was given stays.
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
    """A function `(low_res, seeds, tau)` to the images of a model without a prior."""

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
    """Refuses what a model cannot be sampled with.

    Args:
        sampling: `prsr.hparams.Sampling`.
        hparams: the model's `prsr.hparams.Hparams`.

    Raises:
        UserError: says why.
    """
    sampling.check()
    architecture, pairs = hparams.model.architecture, hparams.data.pairs
    if sampling.guidance and architecture != "pixel_recursive":
        raise UserError(
            f"guidance weighs A against B, and a {architecture} model has no two; leave it out"
        )
    if sampling.match_input != "off" and pairs != "downsampled":
        raise UserError(
            f"match_input={sampling.match_input} needs inputs that are reduced images, and with "
            f"pairs={pairs} they are not; leave it out"
        )


def check_given(given, shape):
    """Refuses what cannot be continued.

    Args:
        given: what should be an integer array of `shape`, -1 (to draw) to 255.
        shape: `(height, width, channels)` of an image.

    Raises:
        ValueError: says why.
    """
    came = type(given).__name__
    if isinstance(given, np.ndarray):
        came = f"{list(given.shape)} {given.dtype}"
        if given.shape == shape and np.issubdtype(given.dtype, np.integer):
            least, most = int(given.min()), int(given.max())
            if least >= -1 and most <= 255:
                return
            came += f" in {least}..{most}"
    raise ValueError(f"given must be {list(shape)} integers from -1 (to draw) to 255, not {came}")


def draw(sampler, low_res, seeds, sampling, batch_size, bar=None, given=None):
    """Draws any number of images in batches of one size, for which a sampler is compiled once.

    Args:
        sampler: what `sampler` returned.
        low_res: `[count, height, width, channels]` uint8.
        seeds: `[count, 2]` int32.
        sampling: `prsr.hparams.Sampling`.
        batch_size: images at once; changes no image.
        bar: a `prsr.progress.Progress` that is told how many are done, or None.
        given: `[height * scale, width * scale, channels]`, -1 to draw or 0..255, which every image
            continues; or None.

    Returns:
        `[count, height * scale, width * scale, channels]` uint8 array.
    """
    return np.stack(list(stream(sampler, low_res, seeds, sampling, batch_size, bar, given)))


def stream(sampler, low_res, seeds, sampling, batch_size, bar=None, given=None):
    """As `draw`, but yields the images one by one, as soon as their batch is drawn."""
    count, size = len(seeds), min(batch_size, len(seeds))
    continued = {}
    if given is not None:
        continued["given"] = np.broadcast_to(given, (size, *given.shape))
    for start in range(0, count, size):
        batch = np.arange(start, start + size) % count  # the last one begins anew
        drawn = sampler(low_res[batch], seeds[batch], sampling, **continued)
        if bar:
            bar.update(min(start + size, count))
        yield from drawn[: count - start]


def draw_samples(sampler, low_res, num_samples, seed, sampling, batch_size, bar=None, given=None):
    """Several samples of each input.

    Args:
        sampler: as `sampler` returns it.
        low_res: `[count, height, width, channels]` uint8.
        num_samples: of each.
        seed: the user's, from which each sample's own is made.
        sampling, batch_size, bar, given: as `draw`.

    Returns:
        `[count, num_samples, size, size, channels]` uint8 array.
    """
    seeds = np.concatenate([noise.image_seeds(image, seed, num_samples) for image in low_res])
    repeated = low_res.repeat(num_samples, 0)
    drawn = draw(sampler, repeated, seeds, sampling, batch_size, bar, given)
    return drawn.reshape(len(low_res), num_samples, *drawn.shape[1:])
