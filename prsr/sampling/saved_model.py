"""Exports a trained model as a SavedModel, which other programs can call without this package.

DIR/1/                the first export, as TensorFlow Serving expects; the next is DIR/2/
    saved_model.pb, variables/
    assets.extra/settings.json     the settings of the run, for `prsr.load`

Signatures, for inputs of `low` x `low` and outputs of `high` x `high` pixels:

sample                low_res, tau, seed, guidance, match_input -> high_res
greedy                low_res -> high_res
log_prob              low_res, high_res -> log_prob
conditioning_logits   low_res -> conditioning_logits
inspect               low_res, high_res -> the dict of `PixelRecursiveSuperResolution.inspect`

low_res               [batch, low, low, channels] uint8, of any batch size
high_res              [batch, high, high, channels] uint8
tau                   scalar float32, positive; multiplies the logits, infinity is greedy
guidance              scalar float32: logits are tau (B + (1 + guidance) A); 0 is the paper's
match_input           scalar string: off (the paper's), end or rows, as in `prsr.hparams.Sampling`
seed                  [batch, 2] int32: the seed of `prsr.sample`, and the sample's number from 1
log_prob              [batch] float32, log p(y | x) in nats per image
conditioning_logits   [batch, high, high, channels, 256] float32, A(x)
"""

import functools
import shutil
import zlib

import numpy as np
import tensorflow as tf

from prsr.hparams import MATCH_INPUT
from prsr.sampling import cached, projection
from prsr.system.errors import UserError, first_line
from prsr.workdir.directory import Workdir

_EXTRA = "assets.extra"  # SavedModel's conventional folder for extra files
_CRC32 = np.array([zlib.crc32(bytes([i]), 2**32 - 1) for i in range(256)], np.uint32) ^ (2**32 - 1)


def content_seeds(low_res, seed):
    """Computes `prsr.sampling.noise.image_seeds` as a graph.

    Args:
        low_res: `[batch, height, width, channels]` uint8.
        seed: `[batch, 2]` int32: the user's seed, and the sample's number from 1.

    Returns:
        `[batch, 2]` int32.
    """
    content = tf.reshape(low_res, (tf.shape(low_res)[0], -1))
    start = tf.bitwise.invert(tf.cast(seed[:, 1] - 1, tf.uint32))

    def take(checksum, byte):
        place = tf.bitwise.bitwise_and(checksum, 255)
        place = tf.bitwise.bitwise_xor(tf.cast(place, tf.int32), tf.cast(byte, tf.int32))
        return tf.bitwise.bitwise_xor(
            tf.gather(_CRC32, place), tf.bitwise.right_shift(checksum, tf.constant(8, tf.uint32))
        )

    checksum = tf.bitwise.invert(tf.foldl(take, tf.transpose(content), start))
    own = tf.cast(tf.bitwise.right_shift(checksum, tf.constant(1, tf.uint32)), tf.int32)
    return tf.stack([tf.bitwise.bitwise_and(seed[:, 0], 2**31 - 1), own], axis=1)


def export(hparams, model, folder, jit_compile=True):
    """Writes the next version of a SavedModel atomically.

    Args:
        hparams: the `prsr.hparams.Hparams` of the run.
        model: the trained model of the run.
        folder: `pathlib.Path` of DIR, created if needed.
        jit_compile: whether XLA compiles the sampler where the SavedModel runs.

    Returns:
        `pathlib.Path` of the new version, such as `DIR/1`.

    Raises:
        UserError: the architecture cannot be exported, or `folder` is not writable.
    """
    if hparams.model.architecture != "pixel_recursive":
        raise UserError(
            f"only pixel_recursive models can be exported, not {hparams.model.architecture}; "
            f"use prsr.load on the run directory instead"
        )
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    signatures = {
        name: tf.function(
            _checking_shapes(function), signature, autograph=False
        ).get_concrete_function()
        for name, (function, signature) in _endpoints(hparams, model, jit_compile).items()
    }
    signatures["serving_default"] = signatures["sample"]
    version = folder / str(max(versions(folder), default=0) + 1)
    partial = folder / f".partial-{version.name}"  # not a number, so no server picks it up
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        tf.saved_model.save(module, str(partial), signatures)
        Workdir(partial / _EXTRA).write_hparams(hparams)
        partial.rename(version)
    except (OSError, UserError, tf.errors.OpError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise UserError(f"could not write to '{folder}': {first_line(error)}") from error
    return version


def _endpoints(hparams, model, jit_compile):
    """Returns functions and their input signatures by name."""
    size, channels = hparams.data.image_size, hparams.model.channels
    low_size = size // hparams.model.scale
    low_res = tf.TensorSpec((None, low_size, low_size, channels), tf.uint8, "low_res")
    high_res = tf.TensorSpec((None, size, size, channels), tf.uint8, "high_res")
    tau = tf.TensorSpec((), tf.float32, "tau")
    seed = tf.TensorSpec((None, 2), tf.int32, "seed")
    guidance = tf.TensorSpec((), tf.float32, "guidance")
    match_input = tf.TensorSpec((), tf.string, "match_input")
    can_match = hparams.data.pairs == "downsampled"
    modes = MATCH_INPUT if can_match else MATCH_INPUT[:1]
    draw = cached.graph_sampler(model, jit_compile)

    def sample(low_res, tau, seed, guidance, match_input):
        checks = [
            tf.debugging.assert_positive(tau, "tau must be a positive number or infinity"),
            tf.Assert(
                (guidance >= 0) & tf.math.is_finite(guidance),
                ["guidance must be 0 or more, and finite, not", guidance],
            ),
            tf.debugging.assert_equal(
                tf.shape(seed)[0], tf.shape(low_res)[0], "there must be one seed per image"
            ),
            tf.Assert(
                tf.reduce_any(match_input == tf.constant(modes)),
                [f"match_input must be one of {', '.join(modes)}, not", match_input],
            ),
        ]
        with tf.control_dependencies(checks):
            seeds = content_seeds(low_res, seed)
        if not can_match:
            return {"high_res": draw(low_res, seeds, tau, guidance)}
        method = hparams.data.downsampling
        plan = projection.row_plan(low_res, model.scale, method)
        by_rows = tf.cast(match_input == "rows", tf.float32)  # zero shares change no row
        drawn = draw(low_res, seeds, tau, guidance, plan._replace(shares=plan.shares * by_rows))
        return {
            "high_res": tf.cond(
                match_input == "off",
                lambda: drawn,
                lambda: projection.match(drawn, low_res, method),
            )
        }

    def greedy(low_res):
        no_seeds = tf.zeros((tf.shape(low_res)[0], 2), tf.int32)
        return {"high_res": draw(low_res, no_seeds, float("inf"), 0.0)}

    def log_prob(low_res, high_res):
        return {"log_prob": model.log_likelihood(low_res, high_res)}

    def conditioning_logits(low_res):
        return {"conditioning_logits": model.conditioning(low_res)}

    return {
        "sample": (sample, [low_res, tau, seed, guidance, match_input]),
        "greedy": (greedy, [low_res]),
        "log_prob": (log_prob, [low_res, high_res]),
        "conditioning_logits": (conditioning_logits, [low_res]),
        "inspect": (model.inspect, [low_res, high_res]),
    }


def _checking_shapes(function):
    """Checks the arguments' shapes at every call.

    Calling a SavedModel from Python does not check them, and some wrong shapes crash the process.
    """

    @functools.wraps(function)
    def checking(*arguments):
        return function(*(tf.ensure_shape(x, x.shape) for x in arguments))

    return checking


def versions(folder):
    """Returns the sorted version numbers of an export."""
    if not folder.is_dir():
        return []
    names = [path.parent.name for path in folder.glob("*/saved_model.pb")]
    return sorted(int(name) for name in names if name.isdecimal())


def load(folder):
    """Loads the newest version of an export.

    Args:
        folder: `pathlib.Path` of DIR, or of one version in it.

    Returns:
        The `prsr.hparams.Hparams` of the run, and the result of `tf.saved_model.load`.

    Raises:
        UserError: there is no export, or it is unreadable.
    """
    if numbers := versions(folder):
        folder = folder / str(numbers[-1])
    settings = Workdir(folder / _EXTRA)
    if not settings.settings.is_file():
        raise UserError(f"'{folder}' was not written by prsr.export: no {_EXTRA}/settings.json")
    try:
        return settings.read_hparams(), tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises many kinds
        raise UserError(f"cannot read the export '{folder}': {first_line(error)}") from error
