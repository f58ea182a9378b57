"""The report of a study: tables, figures, and Table 1 with its last column."""

import json

import numpy as np
from PIL import Image

from prsr import images, plotting
from prsr.evaluation import table1
from prsr.pages.study import analysis, store
from prsr.system import files


def write(study, output, figure_images, seed):
    """Writes the report: tables, figures and the answers themselves.

    report.md, .csv, .json      % fooled of every algorithm, and how many were excluded
    table1_DATA.md, .csv        Table 1 of each data set, with % fooled
    percent_fooled.png          the same as a plot, beside the paper's values
    figure7_DATA.png, .pdf      best- and worst-rated images, with how often they were chosen
    answers.csv                 every answer, without the workers' identifiers
    workers.csv                 the workers' identifiers, and the codes that they were shown

    `figure_images` is how many best, and how many worst, images Figure 7 has of each algorithm;
    `seed` is the bootstrap's. Returns the text of report.md; raises UserError as `store.read`.
    """
    sessions = store.read(study)
    summary = analysis.summarize(sessions, study, seed)
    warning = "**Simulated workers, not people.**\n\n" if study.simulated else ""
    summary["simulated"] = study.simulated
    texts = {
        "report.md": warning + analysis.markdown(summary),
        "report.csv": analysis.to_csv(summary),
        "report.json": json.dumps(summary, indent=2, allow_nan=False) + "\n",
        "answers.csv": analysis.answers_csv(sessions),
        "workers.csv": analysis.workers_csv(sessions),
    }
    for data in study.data_sets:
        table = _with_percent_fooled(data, summary)
        texts[f"table1_{data.name}.md"] = warning + table1.markdown(table)
        texts[f"table1_{data.name}.csv"] = table1.to_csv(table)
        rows, captions, notes = _figure7(study, data, sessions, figure_images)
        if rows:
            sheet = plotting.sheet(rows, captions, notes)
            images.save(sheet, output / f"figure7_{data.name}.png")
            plotting.save_pdf(rows, captions, output / f"figure7_{data.name}.pdf", notes)
    for name, content in texts.items():
        mode = 0o600 if name == "workers.csv" else 0o666
        files.write_text(output / name, content, mode)
    if any(row["fooled"] for row in summary["algorithms"]):
        label = "% fooled" + (" (simulated workers)" if study.simulated else "")
        plotting.intervals(_fooled_bars(summary), label, output / "percent_fooled.png")
    return texts["report.md"]


def _with_percent_fooled(data, summary):
    """The evaluation's Table 1 with the study's % fooled added."""
    found = {
        row["method"]: row["fooled"] for row in summary["algorithms"] if row["data"] == data.name
    }
    rows = [dict(row) for row in data.table["rows"]]
    for row in rows:
        if found.get(row["method"]):
            row["percent_fooled"] = {
                name: None if share is None else 100 * share
                for name, share in found[row["method"]].items()
            }
    return {**data.table, "rows": rows}


def _fooled_bars(summary):
    """Rows for `prsr.plotting.intervals`: title, mean, interval, the paper's value; in percent."""
    return [
        (
            f"{row['data']}: {row['title']}",
            100 * row["fooled"]["mean"],
            [100 * share for share in row["interval"] or 2 * [row["fooled"]["mean"]]],
            row["paper_percent"],
        )
        for row in summary["algorithms"]
        if row["fooled"]
    ]


def _figure7(study, data, sessions, count):
    """Figure 7 for `prsr.plotting.sheet`: a row of best and one of worst for each algorithm."""
    rows, notes = [], []
    for algorithm in study.algorithms:
        if algorithm.data != data.name:
            continue
        shown, chosen = analysis.rate_images(sessions, algorithm.key, len(data.names))
        for kind, ranked in zip(("best", "worst"), analysis.best_and_worst(shown, chosen, count)):
            if ranked:
                pictures = [_study_pixels(study, algorithm, image) for image in ranked]
                empty = [None] * (count - len(ranked))
                rows.append([None, *pictures, *empty])
                fractions = [f"{chosen[image]}/{shown[image]}" for image in ranked]
                notes.append([f"{algorithm.title}, {kind}", *fractions, *[""] * len(empty)])
    return rows, [""] * (count + 1), notes


def _study_pixels(study, algorithm, image):
    with Image.open(study.picture(algorithm.data, algorithm.method, image)) as picture:
        array = np.asarray(picture)
    return array.reshape(*array.shape[:2], -1)
