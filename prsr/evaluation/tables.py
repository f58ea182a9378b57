"""Formats tables as Markdown and CSV, and computes means with standard errors."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt


class Summary(TypedDict):
    """A mean over images and its standard error; None if not finite."""

    mean: float | None
    standard_error: float | None


def to_markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Formats a table as Markdown, from the columns' titles and rows of as many cells."""
    cells = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, row)) + " |\n" for row in cells)


def to_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Formats a table as CSV, quoted where needed; None becomes an empty cell."""
    text = io.StringIO()
    csv.writer(text).writerows([head, *rows])
    return text.getvalue()


def summary(values: npt.ArrayLike) -> Summary:
    """Computes the mean over images, `[count]`, and its standard error, s / sqrt(n).

    A number that is not finite or does not exist, such as the error of one value, is None.
    """
    values = np.asarray(values, np.float64)
    mean = values.mean()
    if not np.isfinite(mean):
        return {"mean": None, "standard_error": None}
    several = len(values) > 1
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if several else None
    return {"mean": float(mean), "standard_error": error}


def plus_minus(value: Summary | None, digits: int, times: float = 1) -> str:
    """Formats the result of `summary`: the mean, and its error if there is one.

    Args:
        value: as `summary` returns it; None becomes an empty cell.
        digits: number of decimals.
        times: factor for both, such as 100 for percent.
    """
    if value is None:
        return ""
    if value["mean"] is None:
        return "inf"
    text = f"{times * value['mean']:.{digits}f}"
    if value["standard_error"] is not None:
        text += f" ± {times * value['standard_error']:.{digits}f}"
    return text
