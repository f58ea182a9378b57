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

Their shapes, dtypes, ranges and units are in docs/api.md.
"""

import functools
import json
import pathlib
import tempfile

import tensorflow as tf

from prsr.hparams import Hparams
from prsr.sampling import cached, noise, projection
from prsr.system import files
from prsr.system.errors import UserError, first_line
from prsr.system.version import __version__

_SETTINGS = "assets.extra/settings.json"  # SavedModel's conventional folder for extra files


def export(hparams, model, folder, jit_compile=True):
    """Writes the next version of a run's model to a folder, atomically; returns its path.

    `jit_compile` says whether XLA compiles the sampler where the SavedModel runs.

    Raises:
        UserError: the architecture cannot be exported, or `folder` is not writable.
    """
    hparams.model.require_prior("be exported")
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    signatures = {
        name: tf.function(
            _check_shapes(function), signature, autograph=False
        ).get_concrete_function()
        for name, (function, signature) in _endpoints(hparams, model, jit_compile).items()
    }
    signatures["serving_default"] = signatures["sample"]
    version = folder / str(max(versions(folder), default=0) + 1)
    with files.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # Its name is not a number, so no server picks it up.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
            written = pathlib.Path(partial, version.name)
            tf.saved_model.save(module, str(written), signatures)
            (written / _SETTINGS).parent.mkdir()
            settings = {"prsr": __version__, "hparams": hparams.to_dict()}
            (written / _SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
            written.rename(version)
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
    match_input = tf.TensorSpec((), tf.bool, "match_input")
    can_match = hparams.data.pairs == "downsampled"
    draw = cached.graph_sampler(model, jit_compile)

    def sample(low_res, tau, seed, guidance, match_input):
        required = {
            "tau must be a positive number or infinity": tau > 0,
            "guidance must be 0 or more, and finite": (guidance >= 0) & (guidance < float("inf")),
            "there must be one seed per image": tf.shape(seed)[0] == tf.shape(low_res)[0],
            "match_input needs inputs that are downsampled images": can_match | ~match_input,
        }
        with tf.control_dependencies([tf.Assert(x, [words]) for words, x in required.items()]):
            seeds = noise.image_seeds_in_graph(low_res, seed)
        drawn = draw(low_res, seeds, tau, guidance)
        if can_match:
            method = hparams.data.downsampling
            drawn = tf.cond(
                match_input, lambda: projection.match(drawn, low_res, method), lambda: drawn
            )
        return {"high_res": drawn}

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


def _check_shapes(function):
    """Checks shapes, which a SavedModel in Python does not: some wrong ones crash the process."""

    @functools.wraps(function)
    def checking(*arguments):
        return function(*(tf.ensure_shape(x, x.shape) for x in arguments))

    return checking


def versions(folder):
    """Returns the sorted version numbers of an export."""
    names = [path.parent.name for path in folder.glob("*/saved_model.pb")]
    return sorted(int(name) for name in names if name.isdecimal())


class Export:
    """A SavedModel that `export` wrote, with the methods of the model in it.

    It is the newest version in DIR, or one version; its attribute `folder` says which.

    Raises:
        UserError: there is no export, or it is unreadable.
    """

    def __init__(self, folder):
        numbers = versions(folder)
        self.folder = folder / str(numbers[-1]) if numbers else folder
        if not (self.folder / _SETTINGS).is_file():
            raise UserError(f"'{self.folder}' was not written by prsr.export: no {_SETTINGS}")
        try:
            settings = json.loads((self.folder / _SETTINGS).read_text("utf-8"))
            self.hparams = Hparams.from_dict(settings["hparams"])
            with files.without_wildcards(self.folder) as path:
                self._loaded = tf.saved_model.load(str(path))
        except Exception as error:  # TensorFlow raises many kinds
            raise UserError(
                f"cannot read the export '{self.folder}': {first_line(error)}"
            ) from error

    def sample(self, low_res, seed, sampling, given=None):
        """Draws a batch of images, `[batch, high, high, channels]` uint8.

        Args:
            low_res: `[batch, low, low, channels]` uint8.
            seed: `[batch, 2]` int32: the user's seed, and the number of the sample from 1.
            sampling: a `prsr.hparams.Sampling`.
            given: must be None.
        """
        if given is not None:
            raise ValueError("an export cannot complete images; load its run directory instead")
        match_input = tf.constant(sampling.match_input)
        _, inputs = self._loaded.signatures["sample"].structured_input_signature
        if inputs["match_input"].dtype == tf.string:  # as version 0.2 wrote it
            match_input = tf.constant("end" if sampling.match_input else "off")
        drawn = self._call(
            "sample",
            low_res=low_res,
            seed=seed,
            tau=tf.constant(sampling.tau, tf.float32),
            guidance=tf.constant(sampling.guidance, tf.float32),
            match_input=match_input,
        )
        return drawn["high_res"].numpy()

    def log_likelihood(self, low_res, high_res):
        """As `PixelRecursiveSuperResolution.log_likelihood`."""
        return self._call("log_prob", low_res=low_res, high_res=high_res)["log_prob"]

    def inspect(self, low_res, high_res):
        """As `PixelRecursiveSuperResolution.inspect`."""
        return self._call("inspect", low_res=low_res, high_res=high_res)

    def _call(self, signature, **inputs):
        tensors = {name: tf.convert_to_tensor(value) for name, value in inputs.items()}
        return self._loaded.signatures[signature](**tensors)
