"""The methods in the rows of Table 1: every way to enlarge an image, as a function."""

import dataclasses
import hashlib
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from prsr import images
from prsr.data import pipeline, splits
from prsr.evaluation import results
from prsr.evaluation.nearest_neighbor import BLOCK, find_nearest
from prsr.hparams import Sampling
from prsr.sampling import projection, samplers
from prsr.system.errors import UserError
from prsr.workdir.directory import Workdir

_GREEDY = Sampling(tau=math.inf)
# The settings that a model and its baselines must share.
_SHARED = ("channels", "scale", "image_size", "crop", "downsampling", "pairs", "levels", "split")


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to enlarge an image: a row of Table 1.

    Attributes:
        key: for files and JSON, such as `"tau_1.1"`.
        title: for people.
        predict: function from `[count, height, width, channels]` uint8 to uint8 images.
        made_by: dict of what the images depend on besides the input, for JSON.
        chunk: images per call, or None for all at once, since a search reads the whole database.
        draw_samples: function from `(low_res, num_samples, bar)` to `[count, num_samples, size,
            size, channels]` uint8, `bar` being a `prsr.system.progress.Progress` or None; None for
            a method with only one image per input.
        in_paper: whether the paper has such a row; other rows are listed separately.
    """

    key: str
    title: str
    predict: Callable
    made_by: dict
    chunk: int | None = results.CHUNK
    draw_samples: Callable | None = None
    in_paper: bool = True


def matched(method, downsampling):
    """Returns a `Method` whose images are minimally changed to downsample to their inputs."""

    def predict(low_res):
        return np.asarray(projection.match(method.predict(low_res), low_res, downsampling))

    def draw_samples(low_res, num_samples, bar=None):
        drawn = method.draw_samples(low_res, num_samples, bar)
        repeated = low_res.repeat(num_samples, 0)
        changed = projection.match(np.concatenate(drawn), repeated, downsampling)
        return np.reshape(changed, drawn.shape)

    return dataclasses.replace(
        method,
        key=f"{method.key}_matched",
        title=f"{method.title}, matched",
        predict=predict,
        made_by={**method.made_by, "match_input": "end"},
        draw_samples=method.draw_samples and draw_samples,
        in_paper=False,
    )


def run_methods(workdir, hparams, model, samplings, seed, batch_size, devices=()):
    """Returns a list of the methods of a `Workdir`: one for each sampling, or a baseline's.

    `hparams` and `model` are as from `workdir.load_model`. `samplings`, a list of
    `prsr.hparams.Sampling`, are ignored for a baseline. Neither `batch_size` nor the `devices` that
    share a batch affect the images.
    """
    weights = {"weights_sha256": hashlib.sha256(workdir.weights.read_bytes()).hexdigest()}
    sampler = samplers.Sampler(model, hparams.data.downsampling, devices=devices)

    def method(key, title, sampling=_GREEDY, sampler=sampler, settings=None):
        def draw_samples(low_res, num_samples, bar=None):
            return samplers.draw_samples(
                sampler, low_res, num_samples, seed, sampling, batch_size, bar
            )

        def predict(low_res):
            return draw_samples(low_res, 1)[:, 0]

        is_random = not math.isinf(sampling.tau)
        made_by = {**weights, **(settings or {}), **({"seed": seed} if is_random else {})}
        return Method(
            key,
            title,
            predict,
            made_by,
            draw_samples=draw_samples if is_random else None,
            in_paper=sampling.in_paper,
        )

    if hparams.model.architecture == "regression":
        return [method("regression", "Regression")]
    if hparams.model.architecture == "cross_entropy":
        return [
            method("cross_entropy_mode", "Cross-entropy, mode"),
            method("cross_entropy_mean", "Cross-entropy, mean", sampler=_mean_method(model)),
            method("cross_entropy_sample", "Cross-entropy, sample", Sampling(tau=1.0)),
        ]
    return [
        method(sampling.key, sampling.title, sampling, settings=_method_note(sampling))
        for sampling in samplings
    ]


def _method_note(sampling):
    """Returns what distinguishes the images of one sampling from another's, for JSON."""
    noted = {"tau": str(sampling.tau)}
    if sampling.guidance:
        noted["guidance"] = sampling.guidance
    if sampling.match_input:
        noted["match_input"] = "end"  # there was another way until version 0.2
    return noted


def _mean_method(model):
    """Returns a "sampler" of the expected value, which minimises the expected squared error."""

    @tf.function(reduce_retracing=True, autograph=False)
    def expect(low_res):
        probabilities = tf.nn.softmax(tf.cast(model(low_res), tf.float32))
        values = tf.range(probabilities.shape[-1], dtype=tf.float32)
        return tf.cast(tf.round(tf.tensordot(probabilities, values, 1)), tf.uint8)

    return lambda low_res, *_: expect(tf.convert_to_tensor(low_res)).numpy()


def baseline_methods(names, hparams, source, seed, batch_size):
    """Returns a list of the methods that a model with these `Hparams` is compared with.

    Args:
        names: each `"bicubic"`, `"nn"`, or the run directory of a trained baseline.
        source: as from `Workdir.open_images`; "nn" searches its training images.
        seed, batch_size: of the cross-entropy model's samples; the latter does not affect them.

    Raises:
        UserError: a run is not a baseline, is one for other images, or was trained on the test
            images.
    """
    result = []
    for name in names:
        if name == "bicubic":
            result.append(_bicubic_method(hparams.model.scale))
        elif name == "nn":
            result.append(_nn_method(hparams, source))
        else:
            workdir = Workdir(name)
            if not workdir.settings.exists():
                raise UserError(
                    f"there is no run in '{name}'; a baseline is bicubic, nn or the run directory "
                    f"of a trained regression or cross_entropy"
                )
            baseline = workdir.read_hparams()
            _check_baseline(baseline, hparams, name)
            splits.check(workdir.splits, source, hparams.data.dataset, baseline.data.dataset)
            result.extend(run_methods(workdir, *workdir.load_model(), (), seed, batch_size))
    return result


def _bicubic_method(scale):
    def predict(low_res):
        return np.asarray(images.upsample_bicubic(low_res, scale))

    return Method("bicubic", "Bicubic", predict, {})


def _nn_method(hparams, source):
    def predict(low_res):
        blocks = pipeline.blocks(source, hparams.data, hparams.model.scale, "train", BLOCK)
        return find_nearest(*blocks, low_res)

    return Method("nn", "NN", predict, {"training_images": hparams.data.dataset}, chunk=None)


def _check_baseline(baseline, hparams, name):
    """Rejects a run that is not a baseline, or was trained on pairs of another kind."""
    if baseline.model.architecture == "pixel_recursive":
        raise UserError(
            f"the run '{name}' is a pixel_recursive model, not a baseline; evaluate it separately"
        )
    theirs, ours = ({**vars(one.model), **vars(one.data)} for one in (baseline, hparams))
    for field in _SHARED:
        if theirs[field] != ours[field]:
            raise UserError(
                f"the baseline '{name}' was trained with {field}={theirs[field]}, the model with "
                f"{ours[field]}; train a baseline with the model's settings"
            )
