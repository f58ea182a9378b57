"""The methods in the rows of Table 1: every way to enlarge an image, as a function."""

import dataclasses
import hashlib
import math
from collections.abc import Callable

import numpy as np

from prsr.data import pipeline
from prsr.evaluation import results
from prsr.evaluation.bicubic import Bicubic
from prsr.evaluation.nearest_neighbor import BLOCK, NearestNeighbor
from prsr.evaluation.networks import CHOICES, CrossEntropy, Regression
from prsr.sampling import projection, samplers
from prsr.system.errors import UserError
from prsr.workdir.directory import Workdir


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to enlarge an image: a row of Table 1.

    Attributes:
        key: for files and JSON, such as `"tau_1.1"`.
        title: for people.
        predict: function from `[count, height, width, channels]` uint8 to uint8 images.
        made_by: dict of what the images depend on besides the input, for JSON.
        chunk: images per call, or None for all, because a search reads the whole database however
            few images it searches for.
        draw_samples: function from `(low_res, num_samples, bar)` to `[count, num_samples, size,
            size, channels]` uint8, where `bar` is a `prsr.system.progress.Progress` or None; None
            for a method with only one image per input.
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
    """Returns a method whose images are minimally changed so that they downsample to their inputs.

    Args:
        method: a `Method`.
        downsampling: how inputs are made, one of `prsr.hparams.DOWNSAMPLING`.
    """

    def predict(low_res):
        return np.asarray(projection.match(method.predict(low_res), low_res, downsampling))

    def draw_samples(low_res, num_samples, bar=None):
        drawn = method.draw_samples(low_res, num_samples, bar)
        alike = [projection.match(drawn[:, k], low_res, downsampling) for k in range(num_samples)]
        return np.stack(alike, axis=1)

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
    """Returns the methods of a run: one for each sampling, or a baseline's.

    Args:
        workdir: a `Workdir`.
        hparams, model: as `workdir.load_model` returns them.
        samplings: list of `prsr.hparams.Sampling`; ignored for a baseline.
        seed: seed of the samples.
        batch_size: samples per batch; does not affect the images.
        devices: devices that share each batch, as for `prsr.sampling.samplers.sampler`.

    Returns:
        A list of `Method`.
    """
    weights = {"weights_sha256": hashlib.sha256(workdir.weights.read_bytes()).hexdigest()}
    kind = hparams.model.architecture
    if kind == "regression":
        return [Method(kind, "Regression", Regression(model, batch_size).predict, weights)]
    if kind == "cross_entropy":
        return [_pixel_independent(model, c, seed, batch_size, weights) for c in CHOICES]
    sampler = samplers.sampler(model, hparams.data.downsampling, devices=devices)
    return [_pixel_recursive(sampler, one, seed, batch_size, weights) for one in samplings]


def _pixel_independent(model, choice, seed, batch_size, weights):
    network = CrossEntropy(model, choice, seed, batch_size)
    key, name = f"cross_entropy_{choice}", f"Cross-entropy, {choice}"
    if choice != "sample":
        return Method(key, name, network.predict, weights)
    made_by = {**weights, "seed": seed}
    return Method(key, name, network.predict, made_by, draw_samples=network.draw_samples)


def _pixel_recursive(sampler, sampling, seed, batch_size, weights):
    def draw_samples(low_res, num_samples, bar=None):
        return samplers.draw_samples(sampler, low_res, num_samples, seed, sampling, batch_size, bar)

    def predict(low_res):
        return draw_samples(low_res, 1)[:, 0]

    made_by = {**weights, "tau": str(sampling.tau)}
    if sampling.guidance:
        made_by["guidance"] = sampling.guidance
    if sampling.match_input != "off":
        made_by["match_input"] = sampling.match_input
    is_random = not math.isinf(sampling.tau)
    if is_random:
        made_by["seed"] = seed
    return Method(
        sampling.key,
        sampling.title,
        predict,
        made_by,
        draw_samples=draw_samples if is_random else None,
        in_paper=sampling.in_paper,
    )


def baseline_methods(names, hparams, seed, batch_size):
    """Returns the methods that a model is compared with.

    Args:
        names: each `"bicubic"`, `"nn"`, or the run directory of a trained baseline.
        hparams: the `Hparams` of the model they are compared with.
        seed: seed of the cross-entropy model's samples.
        batch_size: images per batch; does not affect the images.

    Returns:
        A list of `Method`.

    Raises:
        UserError: a run is not a baseline, or is one for other images.
    """
    result = []
    scale = hparams.model.scale
    for name in names:
        if name == "bicubic":
            result.append(Method(name, "Bicubic", Bicubic(scale).predict, {}))
        elif name == "nn":
            result.append(_nearest_neighbor(hparams))
        else:
            workdir = Workdir(name)
            if not workdir.settings.exists():
                raise UserError(
                    f"there is no run in '{name}'; a baseline is bicubic, nn or the run directory "
                    f"of a trained regression or cross_entropy"
                )
            _check_fits(workdir.read_hparams(), hparams, name)
            own, _ = workdir.check_images(hparams)  # it must not have been trained on them, either
            if own.data.root != hparams.data.root:
                raise UserError(
                    f"the baseline '{name}' split '{hparams.data.dataset}' differently into "
                    f"training and test images; train it again on the same path"
                )
            result.extend(run_methods(workdir, *workdir.load_model(), (), seed, batch_size))
    return result


def _nearest_neighbor(hparams):
    data, model = hparams.data, hparams.model

    def predict(low_res):
        database = pipeline.blocks(data, model.channels, model.scale, "train", BLOCK)
        return NearestNeighbor(*database).predict(low_res)

    return Method("nn", "NN", predict, {"training_images": data.dataset}, chunk=None)


def _check_fits(baseline, hparams, name):
    if baseline.model.architecture == "pixel_recursive":
        raise UserError(
            f"the run '{name}' is a pixel_recursive model, not a baseline; evaluate it separately"
        )
    pairs = [
        (field, getattr(getattr(baseline, part), field), getattr(getattr(hparams, part), field))
        for part, fields in (
            ("model", ("channels", "scale")),
            ("data", ("image_size", "crop", "downsampling", "pairs", "levels", "split")),
        )
        for field in fields
    ]
    for field, theirs, ours in pairs:
        if theirs != ours:
            raise UserError(
                f"the baseline '{name}' was trained with {field}={theirs}, the model "
                f"with {ours}; train a baseline with the model's settings"
            )
