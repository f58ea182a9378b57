"""Table 1 as data: the images of every method for a test set, and their scores.

The output directory holds, so that a long evaluation can be interrupted and its images
used elsewhere:

images/METHOD/00000.npy   256 images each (of the search all), uint8 [count, size, size,
                          channels], with first.png, to look at some, and made_by.json, what
                          they depend on; METHOD is also `input` and `truth`
names.txt                 the test images' names, in that order
scores.csv                every score of every image
table1.md, .csv, .json    means and standard errors beside the paper's
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable

import numpy as np

from prsr import files, losses, metrics, plotting, progress, samplers, tables
from prsr.baselines.bicubic import Bicubic
from prsr.baselines.nearest_neighbor import BLOCK, NearestNeighbor
from prsr.baselines.networks import CHOICES, CrossEntropy, Regression
from prsr.data import pipeline
from prsr.errors import UserError, first_line
from prsr.workdirs import Workdir

CHUNK = 256  # images a file
DIVERSITY_INPUTS, DIVERSITY_SAMPLES = 32, 6
SCORES = ("psnr", "psnr_uint8_wrap", "ssim", "ms_ssim", "consistency")

# Table 1: pSNR, SSIM, MS-SSIM, consistency and % fooled with its error.
PAPER = {
    "faces": {
        "bicubic": (28.92, 0.84, 0.76, 0.006, None),
        "nn": (28.18, 0.73, 0.66, 0.024, None),
        "regression": (29.16, 0.90, 0.90, 0.004, (4.0, 0.2)),
        "tau_1": (29.09, 0.84, 0.86, 0.008, (11.0, 0.1)),
        "tau_1.1": (29.08, 0.84, 0.85, 0.008, (10.4, 0.2)),
        "tau_1.2": (29.08, 0.84, 0.86, 0.008, (10.2, 0.1)),
    },
    "bedrooms": {
        "bicubic": (28.94, 0.70, 0.70, 0.002, None),
        "nn": (28.15, 0.49, 0.45, 0.040, None),
        "regression": (28.87, 0.74, 0.75, 0.003, (2.1, 0.1)),
        "tau_1": (28.92, 0.58, 0.60, 0.016, (17.7, 0.4)),
        "tau_1.1": (28.92, 0.59, 0.59, 0.017, (22.4, 0.3)),
        "tau_1.2": (28.93, 0.59, 0.58, 0.018, (27.9, 0.3)),
    },
}
PAPER_COLUMNS = ("psnr", "ssim", "ms_ssim", "consistency", "percent_fooled")


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to enlarge an image: a row of Table 1.

    Attributes:
        key: for files and JSON, such as `"tau_1.1"`.
        title: for people.
        predict: function `[count, height, width, channels]` uint8 to uint8 images.
        made_by: dict of what the images depend on beside the input, for JSON.
        chunk: images to ask for at once, or None for all: searching reads the whole
            database, however few are sought.
        draw_samples: function `(low_res, num_samples, bar)` to `[count, num_samples, size, size,
            channels]` uint8, where `bar` is a `prsr.progress.Progress` or None; None for a
            method with one image for each input.
    """

    key: str
    title: str
    predict: Callable
    made_by: dict
    chunk: int | None = CHUNK
    draw_samples: Callable | None = None


def run_methods(workdir, hparams, model, taus, seed, batch_size):
    """The methods of a run: samples at each tau, or a baseline's images.

    Args:
        workdir: a `Workdir`.
        hparams, model: what `workdir.load_model` returned.
        taus: floats, infinity for greedy; a baseline knows none.
        seed: of the samples.
        batch_size: samples at once; changes no image.

    Returns:
        A list of `Method`.
    """
    weights = {"weights_sha256": hashlib.sha256(workdir.weights.read_bytes()).hexdigest()}
    kind = hparams.model.model
    if kind == "regression":
        return [Method(kind, "Regression", Regression(model, batch_size).predict, weights)]
    if kind == "cross_entropy":
        return [_pixel_independent(model, c, seed, batch_size, weights) for c in CHOICES]
    sampler = samplers.sampler(model)
    return [_pixel_recursive(sampler, tau, seed, batch_size, weights) for tau in taus]


def _pixel_independent(model, choice, seed, batch_size, weights):
    network = CrossEntropy(model, choice, seed, batch_size)
    key, name = f"cross_entropy_{choice}", f"Cross-entropy, {choice}"
    if choice != "sample":
        return Method(key, name, network.predict, weights)
    made_by = {**weights, "seed": seed}
    return Method(key, name, network.predict, made_by, draw_samples=network.draw_samples)


def _pixel_recursive(sampler, tau, seed, batch_size, weights):
    def draw_samples(low_res, num_samples, bar=None):
        return samplers.draw_samples(sampler, low_res, num_samples, seed, tau, batch_size, bar)

    def predict(low_res):
        return draw_samples(low_res, 1)[:, 0]

    made_by = {**weights, "tau": str(tau)}
    if math.isinf(tau):
        return Method("greedy", title(tau), predict, made_by)
    made_by["seed"] = seed
    return Method(f"tau_{tau:g}", title(tau), predict, made_by, draw_samples=draw_samples)


def title(tau):
    """What samples at a tau are called."""
    return "greedy" if math.isinf(tau) else f"tau = {tau:g}"


def baseline_methods(names, hparams, seed, batch_size):
    """The methods of `--baselines`.

    Args:
        names: `"bicubic"`, `"nn"`, or the run directory of a trained baseline.
        hparams: the `Hparams` of the model they are compared with.
        seed: of the cross-entropy model's samples.
        batch_size: images at once; changes no image.

    Returns:
        A list of `Method`.

    Raises:
        UserError: a run is no baseline, or one for other images.
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
                    f"--baselines expects bicubic, nn and run directories of baselines that were "
                    f"trained with --model=regression or cross_entropy, and got '{name}'"
                )
            _check_fits(workdir.read_hparams(), hparams, name)
            result.extend(run_methods(workdir, *workdir.load_model(), (), seed, batch_size))
    return result


def _nearest_neighbor(hparams):
    data, model = hparams.data, hparams.model

    def predict(low_res):
        database = pipeline.blocks(data, model.channels, model.scale, "train", BLOCK)
        return NearestNeighbor(*database).predict(low_res)

    return Method("nn", "NN", predict, {"training_images": data.dataset}, chunk=None)


def _check_fits(baseline, hparams, name):
    if baseline.model.model == "pixel_recursive":
        raise UserError(
            f"--baselines: the run '{name}' is no baseline but a pixel_recursive model; "
            f"evaluate it with --workdir={name}"
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
                f"--baselines: the run '{name}' was trained with --{field}={theirs}, the model "
                f"with {ours}; train a baseline with the model's settings"
            )


class Evaluation:
    """The images and scores of several methods for one test set, kept in a directory.

    Args:
        path: `pathlib.Path` of the directory; made if need be.
        names: names of the test images.
        low_res: `[count, low size, low size, channels]` uint8.
        high_res: `[count, size, size, channels]` uint8, the truth.

    Raises:
        UserError: the directory holds another test set, or cannot be written to.
    """

    def __init__(self, path, names, low_res, high_res):
        self.path, self.names = path, names
        self.low_res, self.high_res = low_res, high_res
        digest = hashlib.sha256(low_res.tobytes() + high_res.tobytes()).hexdigest()
        self._test_set = {"test_images": len(names), "test_images_sha256": digest}
        for key, pictures in (("input", low_res), ("truth", high_res)):
            self._keep(key, {}, CHUNK, lambda start, stop, p=pictures: p[start:stop])
        with files.replacing(path / "names.txt") as partial:
            partial.write_text("".join(f"{name}\n" for name in names))

    def check(self, methods):
        """Refuses methods that cannot be kept here, before any image is drawn.

        Args:
            methods: list of `Method`.

        Raises:
            UserError: two have the same key, or the directory holds images that were made
                otherwise.
        """
        keys = [method.key for method in methods]
        for key in keys:
            if keys.count(key) > 1:
                raise UserError(
                    f"'{key}' was asked for {keys.count(key)} times in --tau and --baselines; name "
                    f"it once, and further runs of one kind with another --output"
                )
        for method in methods:
            self._claim(method.key, method.made_by, method.chunk or len(self.names))

    def images(self, method):
        """The method's images: drawn, or read where they were drawn before.

        Args:
            method: a `Method`.

        Returns:
            `[count, size, size, channels]` uint8.

        Raises:
            UserError: the directory holds images that were made otherwise.
        """
        return self._keep(
            method.key,
            method.made_by,
            method.chunk or len(self.names),
            lambda start, stop: method.predict(self.low_res[start:stop]),
            method.title,
        )

    def _keep(self, key, made_by, chunk, make, title=None):
        folder = self._claim(key, made_by, chunk)
        count, parts = len(self.names), []
        bar = progress.Progress(title, count) if title else None
        for start in range(0, count, chunk):
            stop = min(start + chunk, count)
            path = folder / f"{start // chunk:05d}.npy"
            if not path.exists():
                made = make(start, stop)
                with files.replacing(path) as partial:
                    np.save(partial, made)
                if bar:
                    bar.update(stop)
            parts.append(_load(path))
            if len(parts[-1]) != stop - start:
                raise UserError(f"'{path}' does not hold {stop - start} images; delete it")
        pictures = np.concatenate(parts)
        if not (folder / "first.png").exists():
            first = list(pictures[:32])
            rows = [first[i : i + 8] for i in range(0, len(first), 8)]
            plotting.save(plotting.sheet(rows, [""] * 8), folder / "first.png")
        return pictures

    def _claim(self, key, made_by, chunk):
        """The folder of a method, with the note of what its images depend on."""
        folder = self.path / "images" / key
        made_by = {**self._test_set, **made_by, "images_a_file": chunk}
        note = folder / "made_by.json"
        try:
            if note.exists():
                same = json.loads(note.read_text()) == made_by
            else:
                same = not folder.exists() or not any(folder.iterdir())
                if same:
                    with files.replacing(note) as partial:
                        partial.write_text(json.dumps(made_by, indent=2) + "\n")
        except (OSError, ValueError) as error:
            raise UserError(
                f"'{folder}' cannot be used ({first_line(error)}); choose another --output"
            ) from error
        if not same:
            raise UserError(
                f"'{folder}' holds images of other weights, settings or test images; choose "
                f"another --output, or delete that folder"
            )
        return folder

    def score(self, images, downsampling):
        """Every score of every image.

        Args:
            images: `[count, size, size, channels]` uint8.
            downsampling: how inputs are made, one of `prsr.hparams.DOWNSAMPLING`.

        Returns:
            A dict from each of `SCORES` to a `[count]` float array; a score that images of
            this size cannot have is left out.
        """
        functions = {
            "psnr": metrics.psnr,
            "psnr_uint8_wrap": metrics.psnr_uint8_wrap,
            "ssim": metrics.ssim,
            "ms_ssim": metrics.ms_ssim,
        }
        size = images.shape[1]
        if size < 11:
            del functions["ssim"]
        if size % 16:
            del functions["ms_ssim"]
        pairs = [(images[i:][:CHUNK], self.high_res[i:][:CHUNK]) for i in self._starts()]
        result = {
            name: np.concatenate([function(*pair) for pair in pairs])
            for name, function in functions.items()
        }
        reduced = [
            metrics.consistency(images[i:][:CHUNK], self.low_res[i:][:CHUNK], downsampling)
            for i in self._starts()
        ]
        return {**result, "consistency": np.concatenate(reduced)}

    def _starts(self):
        return range(0, len(self.names), CHUNK)


def read(path):
    """The report of a finished evaluation.

    Args:
        path: `pathlib.Path` of its directory.

    Returns:
        The dict of `table1.json`, and the test images' names.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        report = json.loads((path / "table1.json").read_text())
        names = (path / "names.txt").read_text().splitlines()
        methods = [row["method"] for row in report["rows"]]
    except FileNotFoundError as error:
        raise UserError(
            f"'{path}' holds no finished evaluation; make one with "
            f"python -m prsr.evaluate --workdir=RUN --output={path}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{path}' is damaged ({first_line(error)}); evaluate again") from error
    if not methods or not names:
        raise UserError(f"'{path}' has no methods or no images; evaluate again")
    return report, names


def read_images(path, key, count):
    """The images of a method that a finished evaluation kept.

    Args:
        path: `pathlib.Path` of its directory.
        key: of the method, or `"input"` or `"truth"`.
        count: how many test images there are.

    Returns:
        `[count, size, size, channels]` uint8.

    Raises:
        UserError: there are none, or they are damaged.
    """
    parts = sorted((path / "images" / key).glob("*.npy"))
    pictures = [_load(part) for part in parts]
    if sum(map(len, pictures)) != count:
        raise UserError(
            f"'{path / 'images' / key}' holds {sum(map(len, pictures))} images of {count}; finish "
            f"the evaluation"
        )
    return np.concatenate(pictures)


def _load(path):
    try:
        pictures = np.load(path)
    except Exception as error:  # NumPy raises many kinds on damaged files
        raise UserError(f"'{path}' is damaged ({first_line(error)}); delete it") from error
    if pictures.dtype != np.uint8 or pictures.ndim != 4:
        raise UserError(f"'{path}' does not hold uint8 images; delete it")
    return pictures


def diversity(method, low_res):
    """How far apart a method's samples of one input are (`metrics.diversity`).

    Args:
        method: a `Method` with `draw_samples`.
        low_res: `[count, low size, low size, channels]` uint8; the first `DIVERSITY_INPUTS`
            are used, `DIVERSITY_SAMPLES` samples of each.

    Returns:
        `[at most DIVERSITY_INPUTS]` float array.
    """
    low_res = low_res[:DIVERSITY_INPUTS]
    bar = progress.Progress(f"diversity, {method.title}", len(low_res) * DIVERSITY_SAMPLES)
    return metrics.diversity(method.draw_samples(low_res, DIVERSITY_SAMPLES, bar))


def row(method, scores, nats, image_shape, paper):
    """A row of Table 1.

    Args:
        method: a `Method`.
        scores: what `Evaluation.score` returned.
        nats: `[count]` nats an image under the model, or None.
        image_shape: `(height, width, channels)`.
        paper: one of `PAPER`, or None.

    Returns:
        A dict for JSON: means and standard errors, and the paper's numbers if it has the row.
    """
    values = dict(scores)
    if nats is not None:
        values["nats_per_image"] = nats
        values["bits_per_dim"] = losses.bits_per_dim(nats, image_shape)
    result = {"method": method.key, "title": method.title}
    for name, value in values.items():
        result[name] = metrics.summary(value)
    if paper and method.key in PAPER[paper]:
        result["paper"] = dict(zip(PAPER_COLUMNS, PAPER[paper][method.key]))
    return result


_DIGITS = {
    "psnr": 2,
    "psnr_uint8_wrap": 2,
    "ssim": 3,
    "ms_ssim": 3,
    "consistency": 5,
    "diversity": 3,
    "percent_fooled": 1,
}


def markdown(report):
    """Table 1 in Markdown, ours beside the paper's.

    Args:
        report: the dict that `table1.json` holds.

    Returns:
        A str.
    """
    rows = report["rows"]
    with_paper = any("paper" in row for row in rows)
    columns = [("psnr", "pSNR, dB", None)]
    columns += [("psnr_uint8_wrap", "pSNR in uint8*", "psnr"), ("ssim", "SSIM", "ssim")]
    columns += [("ms_ssim", "MS-SSIM**", "ms_ssim")]
    columns += [("consistency", "consistency", "consistency")]
    columns += [("diversity", "diversity***", None)]
    columns += [("percent_fooled", "% fooled", "percent_fooled")]
    columns = [c for c in columns if any(c[0] in row for row in rows)]
    head, cells = ["method"], []
    for _, title, paper in columns:
        head.append(title)
        if with_paper and paper:
            head.append("paper")
    if any("bits_per_dim" in row for row in rows):
        head.append("bits/dim")
    for entry in rows:
        line = [entry["title"]]
        for name, _, paper in columns:
            line.append(_cell(entry.get(name), _DIGITS[name]))
            if with_paper and paper:
                line.append(_paper_cell(entry.get("paper", {}).get(paper)))
        if "bits/dim" in head:
            line.append(_cell(entry.get("bits_per_dim"), 3))
        cells.append(line)
    lines = [
        tables.to_markdown(head, cells),
        f"Means over {report['test_images']} test images, and standard errors of the means. "
        f"bits/dim: of each method's images under the model, not of the truth.",
        "",
        "\\* Differences and squares modulo 256, a mistake that brings photographs near 29 dB, "
        "whatever the method: the paper's pSNR can only be compared with this column.",
        "",
        "\\*\\* Five scales; the window shrinks to an image that is smaller than it.",
    ]
    if "diversity***" in head:
        lines += [
            "",
            f"\\*\\*\\* Root mean squared difference of two samples of one input, on [0, 1]: "
            f"{DIVERSITY_SAMPLES} samples of each of the first {DIVERSITY_INPUTS} inputs.",
        ]
    titles = {"joint": "A + B", "conditioning": "A alone", "prior": "B alone"}
    for key, truth in report.get("truth", {}).items():
        lines += [
            "",
            f"Negative log-likelihood of the truth, {titles[key]}: "
            f"{_cell(truth['nats_per_image'], 0)} nats an image, "
            f"{_cell(truth['bits_per_dim'], 3)} bits/dim",
        ]
    return "\n".join(lines) + "\n"


def _cell(value, digits):
    return "" if value is None else metrics.plus_minus(value, digits)


def _paper_cell(value):
    if value is None:
        return ""
    return "{:g} ± {:g}".format(*value) if isinstance(value, (tuple, list)) else f"{value:g}"


def to_csv(report):
    """Table 1 as CSV: one line a row, a column for each mean, error and number of the paper."""
    lines = []
    for entry in report["rows"]:
        line = {"method": entry["method"]}
        for name, value in entry.items():
            if isinstance(value, dict) and "mean" in value:
                line[name] = value["mean"]
                line[f"{name}_standard_error"] = value["standard_error"]
        for name, value in entry.get("paper", {}).items():
            if name == "percent_fooled":
                value, line["paper_percent_fooled_error"] = value or (None, None)
            line[f"paper_{name}"] = value
        lines.append(line)
    fields = list(dict.fromkeys(name for line in lines for name in line))
    return tables.to_csv(fields, [[line.get(name) for name in fields] for line in lines])


def scores_csv(names, scores):
    """Every score of every image as CSV.

    Args:
        names: of the images.
        scores: dict from a method's key to a dict from a score's name to `[count]` values.

    Returns:
        A str.
    """
    columns = list(dict.fromkeys(name for values in scores.values() for name in values))
    rows = [
        [name, key, *(f"{values[c][i]:.6g}" if c in values else "" for c in columns)]
        for key, values in scores.items()
        for i, name in enumerate(names)
    ]
    return tables.to_csv(["image", "method", *columns], rows)
