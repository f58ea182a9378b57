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


def standard_error(values: npt.NDArray, people: Sequence | None = None) -> float | None:
    """Computes the standard error of the mean over images, `[count]`, of independent people.

    Without `people`, `[count]`, it is s / sqrt(n). Else each person's deviations are added before
    they are squared (Liang and Zeger 1986, times G / (G - 1) for G people), which is the same if
    everyone has one image. One person has no error: None.
    """
    groups = np.unique(range(len(values)) if people is None else people, return_inverse=True)[1]
    sums = np.bincount(groups, values - values.mean())
    variance = float(np.square(sums).sum()) / max(len(sums) - 1, 1) * len(sums)
    return math.sqrt(variance) / len(values) if len(sums) > 1 else None


def summary(values: npt.ArrayLike, people: Sequence | None = None) -> Summary:
    """Computes the mean over images, `[count]`, and its `standard_error`.

    A number that is not finite or does not exist, such as the error of one value, is None.
    """
    values = np.asarray(values, np.float64)
    mean = values.mean()
    if not np.isfinite(mean):
        return {"mean": None, "standard_error": None}
    return {"mean": float(mean), "standard_error": standard_error(values, people)}


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
