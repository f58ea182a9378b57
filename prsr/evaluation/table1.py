"""Makes Table 1 from every method's images, beside the paper's, in Markdown, CSV and JSON."""

import functools
import json

from prsr.evaluation import metrics, tables
from prsr.models import likelihood, losses
from prsr.system import files, progress

# Table 1: pSNR, SSIM, MS-SSIM, consistency and % fooled with its error.
PAPER = {
    "none": {},
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
DIVERSITY_INPUTS, DIVERSITY_SAMPLES = 32, 6  # of so many test images, so many samples each
# Name in files, title for people, number of decimals, and the paper's column to compare with.
COLUMNS = (
    ("psnr", "pSNR, dB", 2, None),
    ("psnr_uint8_wrap", "pSNR in uint8*", 2, "psnr"),
    ("ssim", "SSIM", 3, "ssim"),
    ("ms_ssim", "MS-SSIM**", 3, "ms_ssim"),
    ("consistency", "consistency", 5, "consistency"),
    ("diversity", "diversity***", 3, None),
    ("percent_fooled", "% fooled", 1, "percent_fooled"),
    ("bits_per_dim", "bits/dim", 3, None),
)


def paper_for(hparams):
    """Returns which of `PAPER` to compare a run with: "faces" for a 32x32 face model, or "none"."""
    model, data = hparams.model, hparams.data
    same = (data.image_size, model.scale, model.channels) == (32, 4, 3)
    return "faces" if data.crop == "celeba" and same else "none"


def evaluate(evaluation, methods, model, downsampling, paper, batch_size, people=None):
    """Draws and measures the images of every `Method` for an `Evaluation`.

    The model scores all images, `batch_size` at once, if it has a likelihood. `downsampling` is one
    of `prsr.hparams.DOWNSAMPLING`, `paper` one of `PAPER`, and `people` as for `tables.summary`.

    Returns:
        `(report, measured)`: the content of `table1.json`, and a dict from a method's key to its
        metrics and nats per image, `[count]` each.

    Raises:
        UserError: the directory holds images made in another way.
    """
    evaluation.check(methods)
    low_res, high_res = evaluation.low_res, evaluation.high_res
    shape = high_res.shape[1:]
    rows, measured = [], {}
    summary = functools.partial(tables.summary, people=people)
    scored = likelihood.Repeated(model) if model.has_likelihood else None
    for method in methods:
        images = evaluation.images(method)
        values = metrics.measure(images, high_res, low_res, downsampling)
        if scored:
            values["nats_per_image"] = likelihood.nats(scored, low_res, images, batch_size)
        measured[method.key] = values
        rows.append(row(method, values, shape, paper, summary))
        if method.draw_samples:
            first = people and people[:DIVERSITY_INPUTS]
            rows[-1]["diversity"] = tables.summary(diversity(method, low_res), first)
    report = {"test_images": len(low_res), "rows": rows}
    if scored:
        report["truth"] = {
            name: {
                "nats_per_image": summary(nats),
                "bits_per_dim": summary(losses.bits_per_dim(nats, shape)),
            }
            for name, nats in likelihood.scores(scored, low_res, high_res, batch_size).items()
        }
    return report, measured


def write(folder, report, measured, names):
    """Writes `table1.md`, `.csv` and `.json`, and `scores.csv`; returns the table in Markdown.

    `report` and `measured` are as from `evaluate`, `names` are the test images'. Raises `UserError`
    if the disk is full, or the folder, a `pathlib.Path`, is not writable.
    """
    table = markdown(report)
    texts = {
        "table1.md": table,
        "table1.csv": to_csv(report),
        "table1.json": json.dumps(report, indent=2, allow_nan=False) + "\n",
        "scores.csv": _table1_by_image(names, measured),
    }
    with files.disk_errors(folder):
        for name, text in texts.items():
            files.write_text(folder / name, text)
    return table


def diversity(method, low_res):
    """Returns `metrics.diversity` of a method's samples of the first inputs, `[at most 32]`."""
    low_res = low_res[:DIVERSITY_INPUTS]
    bar = progress.Progress(f"diversity, {method.title}", len(low_res) * DIVERSITY_SAMPLES)
    return metrics.diversity(method.draw_samples(low_res, DIVERSITY_SAMPLES, bar))


def row(method, values, image_shape, paper, summary=tables.summary):
    """Returns a row for JSON: means and standard errors, and the paper's numbers if it has the row.

    `values` are what `metrics.measure` returns, perhaps with `"nats_per_image"`; `summary` is
    `tables.summary`, perhaps with `people`.
    """
    result = {"method": method.key, "title": method.title, "in_paper": method.in_paper}
    for name, value in values.items():
        result[name] = summary(value, infinite_if_exact=name.startswith("psnr"))
    if "nats_per_image" in values:
        bits = losses.bits_per_dim(values["nats_per_image"], image_shape)
        result["bits_per_dim"] = summary(bits)
    if method.key in PAPER[paper]:
        result["paper"] = dict(zip(PAPER_COLUMNS, PAPER[paper][method.key]))
    return result


def markdown(report):
    """Formats the content of `table1.json` as Markdown, ours beside the paper's."""
    rows = report["rows"]
    with_paper = any("paper" in row for row in rows)
    head = ["method"]
    lines = [[row["title"]] for row in rows]
    for name, title, digits, paper in COLUMNS:
        if not any(name in row for row in rows):
            continue
        head.append(title)
        for line, row in zip(lines, rows):
            line.append(tables.plus_minus(row.get(name), digits))
        if with_paper and paper:
            head.append("paper")
            for line, row in zip(lines, rows):
                line.append(_table1_paper(row.get("paper", {}).get(paper)))
    in_paper = [row.get("in_paper", True) for row in rows]
    table = [line for line, known in zip(lines, in_paper) if known]
    if others := [line for line, known in zip(lines, in_paper) if not known]:
        table += [["**not in the paper:**", *[""] * (len(head) - 1)], *others]
    notes = [
        f"Means over {report['test_images']} test images, and standard errors of the means for "
        f"independent {report.get('independent', 'images')}. bits/dim: of each method's images "
        f"under the model, not of the originals.",
        "\\* Differences and squares modulo 256, a mistake that brings photographs near 29 dB, "
        "whatever the method: the paper's pSNR can only be compared with this column.",
        "\\*\\* Five scales; the window shrinks to an image that is smaller than it.",
    ]
    if "diversity***" in head:
        notes.append(
            f"\\*\\*\\* Root mean squared difference of two samples of one input, on [0, 1]: "
            f"{DIVERSITY_SAMPLES} samples of each of the first {DIVERSITY_INPUTS} inputs."
        )
    if any("exact" in value for row in rows for value in row.values() if isinstance(value, dict)):
        notes.append("Exact: images of infinite pSNR (\\* modulo 256), which the means leave out.")
    titles = {"joint": "A + B", "conditioning": "A alone", "prior": "B alone"}
    for name, original in report.get("truth", {}).items():
        notes.append(
            f"Negative log-likelihood of the originals, {titles[name]}: "
            f"{tables.plus_minus(original['nats_per_image'], 0)} nats per image, "
            f"{tables.plus_minus(original['bits_per_dim'], 3)} bits/dim"
        )
    if history := report.get("history"):
        fields = dict.fromkeys(field for part in history for field in part)
        lines = [[field, *(part.get(field, "") for part in history)] for field in fields]
        parts = [f"part {number}" for number in range(1, len(history) + 1)]
        notes.append(tables.to_markdown(["training", *parts], lines).rstrip())
    return "\n\n".join([tables.to_markdown(head, table).rstrip(), *notes]) + "\n"


def _table1_paper(value):
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
                line |= {f"{name}_{key}": number for key, number in value.items() if key != "mean"}
        for name, value in entry.get("paper", {}).items():
            if name == "percent_fooled":
                value, line["paper_percent_fooled_error"] = value or (None, None)
            line[f"paper_{name}"] = value
        lines.append(line)
    return _table1_lines(lines)


def _table1_by_image(names, measured):
    """Formats every image's metrics and nats as CSV."""
    lines = []
    for method, values in measured.items():
        for i, name in enumerate(names):
            numbers = {key: float(f"{value[i]:.6g}") for key, value in values.items()}
            lines.append({"image": name, "method": method, **numbers})
    return _table1_lines(lines)


def _table1_lines(lines):
    """Formats dicts as CSV, with a column for each key that any of them has."""
    fields = list(dict.fromkeys(name for line in lines for name in line))
    return tables.to_csv(fields, [[line.get(name) for name in fields] for line in lines])
