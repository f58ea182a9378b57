"""Makes Table 1 from every method's scores, beside the paper's, in Markdown, CSV and JSON."""

import json

from prsr.evaluation import metrics, tables
from prsr.models import likelihood, losses
from prsr.system import files, progress

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
PAPER["none"] = {}
PAPER_COLUMNS = ("psnr", "ssim", "ms_ssim", "consistency", "percent_fooled")


def paper_for(hparams):
    """Returns which of `PAPER` to compare a run with: "faces" for a 32x32 face model, or "none"."""
    model, data = hparams.model, hparams.data
    same = (data.image_size, model.scale, model.channels) == (32, 4, 3)
    return "faces" if data.crop == "celeba" and same else "none"


def evaluate(evaluation, methods, model, downsampling, paper, batch_size):
    """Draws and scores the images of every method.

    Args:
        evaluation: a `prsr.evaluation.results.Evaluation`.
        methods: list of `prsr.evaluation.methods.Method`.
        model: the trained model; scores all images if it has a likelihood.
        downsampling: how inputs are made, one of `prsr.hparams.DOWNSAMPLING`.
        paper: one of `PAPER`.
        batch_size: images scored per batch.

    Returns:
        `(report, scores)`: the content of `table1.json`, and a dict from a method's key to a dict
        from a score's name to `[count]` values.

    Raises:
        UserError: the directory holds images made in another way.
    """
    evaluation.check(methods)
    low_res, high_res = evaluation.low_res, evaluation.high_res
    rows, scores = [], {}
    scored = likelihood.Repeated(model) if model.has_likelihood else None
    for method in methods:
        images = evaluation.images(method)
        own = metrics.scores(images, high_res, low_res, downsampling)
        if scored:
            own["nats_per_image"] = likelihood.nats(scored, low_res, images, batch_size)
        scores[method.key] = own
        rows.append(row(method, own, high_res.shape[1:], paper))
        if method.draw_samples:
            rows[-1]["diversity"] = tables.summary(diversity(method, low_res))
    report = {"test_images": len(low_res), "rows": rows}
    if scored:
        truth = likelihood.scores(scored, low_res, high_res, batch_size)
        report["truth"] = {
            key: {
                "nats_per_image": tables.summary(nats),
                "bits_per_dim": tables.summary(losses.bits_per_dim(nats, high_res.shape[1:])),
            }
            for key, nats in truth.items()
        }
    return report, scores


def write(folder, report, scores, names):
    """Writes `table1.md`, `.csv` and `.json`, and `scores.csv`.

    Args:
        folder: `pathlib.Path` of an existing folder.
        report, scores: as `evaluate` returns them.
        names: names of the test images.

    Returns:
        The table in Markdown.

    Raises:
        UserError: the disk is full, or the folder is not writable.
    """
    table = markdown(report)
    texts = {
        "table1.md": table,
        "table1.csv": to_csv(report),
        "table1.json": json.dumps(report, indent=2, allow_nan=False) + "\n",
        "scores.csv": scores_csv(names, scores),
    }
    with files.disk_errors(folder):
        for name, text in texts.items():
            with files.replacing(folder / name) as partial:
                partial.write_text(text)
    return table


def diversity(method, low_res):
    """Computes the diversity of a method's samples (`metrics.diversity`).

    Args:
        method: a `Method` with `draw_samples`.
        low_res: `[count, low size, low size, channels]` uint8; the first `metrics.DIVERSITY_INPUTS`
            are used, with `metrics.DIVERSITY_SAMPLES` samples each.

    Returns:
        `[at most DIVERSITY_INPUTS]` float array.
    """
    low_res = low_res[: metrics.DIVERSITY_INPUTS]
    bar = progress.Progress(f"diversity, {method.title}", len(low_res) * metrics.DIVERSITY_SAMPLES)
    return metrics.diversity(method.draw_samples(low_res, metrics.DIVERSITY_SAMPLES, bar))


def row(method, scores, image_shape, paper):
    """Computes a row of Table 1.

    Args:
        method: a `Method`.
        scores: as `metrics.scores` returns them, with `"nats_per_image"` if the model has a
            likelihood.
        image_shape: `(height, width, channels)`.
        paper: one of `PAPER`.

    Returns:
        A dict for JSON: means and standard errors, and the paper's numbers if it has the row.
    """
    values = dict(scores)
    if "nats_per_image" in scores:
        values["bits_per_dim"] = losses.bits_per_dim(scores["nats_per_image"], image_shape)
    result = {"method": method.key, "title": method.title, "in_paper": method.in_paper}
    for name, value in values.items():
        result[name] = tables.summary(value)
    if method.key in PAPER[paper]:
        result["paper"] = dict(zip(PAPER_COLUMNS, PAPER[paper][method.key]))
    return result


def markdown(report):
    """Formats Table 1 as Markdown, ours beside the paper's.

    Args:
        report: the content of `table1.json`.

    Returns:
        A str.
    """
    rows = report["rows"]
    with_paper = any("paper" in row for row in rows)
    columns = [score for score in metrics.SCORES if any(score.name in row for row in rows)]
    head, cells = ["method"], []
    for score in columns:
        head += [score.title, "paper"] if with_paper and score.paper else [score.title]
    # Reports of version 0.1 have only the paper's rows.
    apart = [entry for entry in rows if not entry.get("in_paper", True)]
    for entry in [entry for entry in rows if entry not in apart] + apart:
        if apart and entry is apart[0]:
            cells.append(["**not in the paper:**", *[""] * (len(head) - 1)])
        line = [entry["title"]]
        for score in columns:
            line.append(_cell(entry.get(score.name), score.digits))
            if with_paper and score.paper:
                line.append(_paper_cell(entry.get("paper", {}).get(score.paper)))
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
            f"{metrics.DIVERSITY_SAMPLES} samples of each of the first "
            f"{metrics.DIVERSITY_INPUTS} inputs.",
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
    return "" if value is None else tables.plus_minus(value, digits)


def _paper_cell(value):
    if value is None:
        return ""
    return "{:g} ± {:g}".format(*value) if isinstance(value, (tuple, list)) else f"{value:g}"


def to_csv(report):
    """Formats Table 1 as CSV, with a column for each mean, error and number of the paper."""
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
    """Formats every score of every image as CSV.

    Args:
        names: names of the images.
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
