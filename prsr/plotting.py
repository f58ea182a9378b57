"""Draws sheets of images, training curves and interval plots.

Plots are made with `matplotlib.figure`, which needs no window and leaves the user's backend and
figures as they are; only what draws them imports it.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from prsr import images
from prsr.system import files

_CELL = 128  # side of one picture on a sheet, in pixels, at least
_GAP = 6
_FONT_SIZE = 16


def sheet(rows, captions, notes=None):
    """Arranges pictures in rows and columns, each enlarged by repeating its pixels.

    Args:
        rows: list of rows, each a list of uint8 arrays `[height, width, channels]` or
            None for an empty cell.
        captions: one text per column; all empty for none.
        notes: texts below the pictures, in the shape of `rows`, or None.

    Returns:
        A `PIL.Image`.
    """
    size, cells, texts = _sheet_layout(rows, captions, notes)
    font = ImageFont.load_default(_FONT_SIZE)
    result = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(result)
    for x, y, text in texts:
        pen.text((x, y), text, fill="black", font=font, anchor="mm", align="center")
    for x, y, picture in cells:
        result.paste(images.to_pil(picture), (x, y))
    return result


def save_pdf(rows, captions, path, notes=None):
    """Writes a sheet as a PDF, with text as text and every pixel preserved.

    Args:
        rows, captions, notes: as for `sheet`.
        path: `pathlib.Path` of the file; its folder is made.
    """
    from matplotlib.figure import Figure

    (width, height), cells, texts = _sheet_layout(rows, captions, notes)
    figure = Figure(figsize=(width / 100, height / 100))
    axes = figure.add_axes((0, 0, 1, 1))
    for x, y, picture in cells:
        extent = (x, x + picture.shape[1], y + picture.shape[0], y)
        axes.imshow(images.to_pil(picture).convert("RGB"), extent=extent, interpolation="none")
    for x, y, text in texts:
        axes.text(x, y, text, fontsize=_FONT_SIZE * 0.72, ha="center", va="center")
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    axes.axis("off")
    with files.replacing(path) as partial:
        figure.savefig(partial, format="pdf")


def _sheet_layout(rows, captions, notes):
    """Returns a sheet's size, its cells `(x, y, enlarged picture)` and texts `(x, y, text)`."""
    side = max(picture.shape[0] for row in rows for picture in row if picture is not None)
    side *= max(1, _CELL // side)
    lines = max(caption.count("\n") + 1 for caption in captions)
    top = 8 + 20 * lines if any(captions) else _GAP
    below = 22 if notes else 0
    cells, texts = [], []
    for column, caption in enumerate(captions):
        texts.append((_GAP + column * (side + _GAP) + side // 2, top // 2, caption))
    for r, row in enumerate(rows):
        y = top + r * (side + below + _GAP)
        for column, picture in enumerate(row):
            x = _GAP + column * (side + _GAP)
            if picture is not None:
                times = side // picture.shape[0]
                cells.append((x, y, picture.repeat(times, axis=0).repeat(times, axis=1)))
            if notes and notes[r][column]:
                texts.append((x + side // 2, y + side + below // 2, notes[r][column]))
    width, height = len(captions) * (side + _GAP) + _GAP, top + len(rows) * (side + below + _GAP)
    return (width, height), cells, texts


def heat(values, most):
    """Converts numbers, 0 or more, to colours from dark (0) to bright (`most` and above).

    `[height, width]` becomes `[height, width, 3]` uint8, in viridis, which colour-blind people can
    read as well.
    """
    from matplotlib import colormaps

    return (colormaps["viridis"](values / most)[..., :3] * 255).round().astype(np.uint8)


def curves(records, path):
    """Plots bits per dimension, or a regression's squared error, against steps.

    Args:
        records: list of dicts with `"step"` and any of the curves' values, as in `metrics.jsonl`.
        path: `pathlib.Path` of the PNG.
    """
    from matplotlib.figure import Figure

    lines = {
        "bits_per_dim/joint": ("C0", "A + B"),
        "bits_per_dim/conditioning": ("C1", "A alone"),
        "bits_per_dim/prior": ("C2", "B alone"),
        "mean_squared_error": ("C0", "mean squared error"),
    }
    figure = Figure(figsize=(7, 4.2), dpi=120)
    axes, drawn = figure.subplots(), []
    for name, (color, text) in lines.items():
        for split, style in (("train", "-"), ("validation", "o--")):
            points = [(r["step"], r[f"{split}/{name}"]) for r in records if f"{split}/{name}" in r]
            if points:
                steps, values = np.array(points).T
                drawn.extend(values)
                label = f"{text}, {split}"
                axes.plot(steps, values, style, color=color, markersize=3, linewidth=1, label=label)
    axes.set_xlabel("step")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    if any("train/mean_squared_error" in record for record in records):
        axes.set(yscale="log", ylabel="mean squared error on [0, 1]")
    else:
        axes.set_ylabel("bits per dimension")
        if drawn:
            # Leave out the first steps, whose values are far higher.
            axes.set_ylim(min(drawn) - 0.2, min(9.0, max(drawn) + 0.2))
    axes.grid(alpha=0.3)
    if drawn:
        axes.legend(fontsize=8)
    _save_plot(figure, path)


def intervals(rows, label, path):
    """Plots values with intervals, one below the other, as the PNG `path`.

    Args:
        rows: list of `(title, value, (low, high), paper)`; `paper` is a value and its error,
            or None.
        label: label of the axis.
        path: `pathlib.Path`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1 + 0.5 * len(rows)), dpi=120)
    axes = figure.subplots()
    for y, (_, value, (low, high), paper) in enumerate(rows):
        error = [[value - low], [high - value]]
        axes.errorbar(value, y, xerr=error, fmt="o", color="C0", capsize=4, label="measured")
        if paper:
            axes.errorbar(paper[0], y + 0.2, xerr=paper[1], fmt="d", color="C1", label="paper")
    axes.set_yticks(range(len(rows)), [title for title, *_ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel(label)
    axes.grid(alpha=0.3, axis="x")
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1]))
    axes.legend(handles.values(), handles.keys(), fontsize=8)
    _save_plot(figure, path)


def _save_plot(figure, path):
    figure.tight_layout()
    with files.replacing(path) as partial:
        figure.savefig(partial, format="png", metadata={"Software": images.SOFTWARE})
