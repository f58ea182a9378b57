"""Compares the reference sampler with the fast one."""

import dataclasses
import sys

import keras
import numpy as np
import tensorflow as tf

from benchmarks import rounds
from prsr.models.build import build_model
from prsr.sampling import cached, naive, noise

_REFERENCE_SUB_PIXELS = 8


def build(hparams):
    """An untrained model with the given settings, identical at every call."""
    keras.utils.set_random_seed(0)
    return build_model(hparams)


def ask(model, image_size, batch):
    """Random low-resolution images and seeds."""
    low_size = image_size // model.scale
    rng = np.random.default_rng(0)
    low_res = rng.integers(0, 256, (batch, low_size, low_size, model.channels), np.uint8)
    return low_res, np.stack([np.zeros(batch), np.arange(batch)], axis=1).astype(np.int32)


def compare(model, image_size, batches, num_rounds):
    """Times the reference sampler, the fast sampler and one forward pass at several batch sizes.

    The reference draws only the first few sub-pixels: each costs one full pass of the prior,
    so the time for an image is extrapolated from theirs. One-off work is timed separately.

    Args:
        model: a built `PixelRecursiveSuperResolution`.
        image_size: size of the high-resolution image.
        batches: list of batch sizes.
        num_rounds: how many times each is timed.

    Returns:
        A list of dicts, one per batch size; times are for the whole batch, in seconds.
    """
    samplers = {
        "fast": cached.Sampler(model),
        "reference": naive.sampler(model, _REFERENCE_SUB_PIXELS),
        "reference, nothing drawn": naive.sampler(model, 0),
    }
    forward = tf.function(lambda *pair: model(pair).joint, reduce_retracing=True)
    rows = []
    for batch in batches:
        print(f"sampling, batch {batch}", file=sys.stderr)
        question = ask(model, image_size, batch)
        rows.append(_compare_batch(samplers, forward, *question, image_size, num_rounds))
    return rows


def _compare_batch(samplers, forward, low_res, seeds, image_size, num_rounds):
    batch, channels = len(low_res), low_res.shape[-1]
    high_res = np.zeros((batch, image_size, image_size, channels), np.float32)
    multiply, operations = rounds.matrix_product()

    def sample_with(sampler):
        return lambda: sampler(low_res, seeds, 1.0)

    times, first = rounds.interleave(
        {
            **{name: sample_with(sampler) for name, sampler in samplers.items()},
            "forward pass": lambda: forward(low_res, high_res)[0, 0, 0, 0, 0].numpy(),
            rounds.MATRIX: multiply,
        },
        num_rounds,
    )
    once = times["reference, nothing drawn"]
    each = (times["reference"] - once) / _REFERENCE_SUB_PIXELS
    reference_seconds = once + each * image_size**2 * channels
    return {
        "batch": batch,
        "speedup": reference_seconds / times["fast"],
        "forward_passes": times["fast"] / times["forward pass"],
        "fast_seconds": times["fast"],
        "reference_seconds": reference_seconds,
        "forward_seconds": times["forward pass"],
        "first_call_seconds": first["fast"],
        "matrix_gflops": operations / times[rounds.MATRIX] / 1e9,
    }


def agreement(model, image_size, batch):
    """Checks the fixed point: one pass over finished samples, with their noise, redraws them.

    Returns:
        A dict of the number of sub-pixels that agree and their total number.
    """
    low_res, seeds = ask(model, image_size, batch)
    drawn = cached.Sampler(model)(low_res, seeds, 1.0)
    again = noise.draw(model((low_res, drawn)).joint, 1.0, noise.uniforms(seeds, drawn.shape[1:]))
    return {"agree": int((again.numpy() == drawn).sum()), "of": drawn.size}


def growth(hparams, image_sizes, depths, num_rounds):
    """Measures how the time for one image grows with its size and with the prior's depth.

    Args:
        hparams: `prsr.hparams.Hparams`.
        image_sizes: high-resolution sizes, at the model's own depth.
        depths: numbers of gated layers, at the smallest of `image_sizes`.
        num_rounds: how many times each is timed, in turn.

    Returns:
        A dict of `"image_size"` and `"depth"`, each a list of (value, seconds).
    """

    def contender(image_size, **changed):
        data = dataclasses.replace(hparams.data, image_size=image_size)
        sizes = dataclasses.replace(hparams.model, **changed)
        model = build(dataclasses.replace(hparams, data=data, model=sizes))
        sampler, question = cached.Sampler(model), ask(model, image_size, 1)
        return lambda: sampler(*question, 1.0)

    by_size = {f"{size}x{size}": contender(size) for size in image_sizes}
    smallest = min(image_sizes)
    by_depth = {f"{n} layers": contender(smallest, prior_layers=n) for n in depths}
    times, _ = rounds.interleave(by_size | by_depth, num_rounds)
    return {
        "image_size": [(size, times[name]) for size, name in zip(image_sizes, by_size)],
        "depth": [(depth, times[name]) for depth, name in zip(depths, by_depth)],
    }
