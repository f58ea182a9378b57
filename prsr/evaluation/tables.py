"""Formats tables as Markdown and CSV, and computes means with standard errors."""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

# Texts that spreadsheets take for formulas, numbers, dates or truth values.
_CONVERTED = re.compile(
    r"[=+@'\t\r\n-].*|true|false|(?=.*\d)"
    r"(?:[\W\d_]|e|[ap]m|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*+)*+",
    re.IGNORECASE | re.DOTALL,
)


class Summary(TypedDict):
    """A mean over images and its standard error, None if not finite; how many are exact."""

    mean: float | None
    standard_error: float | None
    exact: NotRequired[int]


def to_markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Formats a table as Markdown, from the columns' titles and rows of as many cells."""
    cells = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, row)) + " |\n" for row in cells)


def to_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Formats a table as CSV, quoted where needed; None becomes an empty cell.

    A text that a spreadsheet would convert, or that begins with an apostrophe, is preceded by an
    apostrophe. Pass numbers as numbers.
    """
    text = io.StringIO()
    csv.writer(text).writerows([head, *(map(_cell, row) for row in rows)])
    return text.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _CONVERTED.fullmatch(value) else value


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


def summary(
    values: npt.ArrayLike, people: Sequence | None = None, infinite_if_exact: bool = False
) -> Summary:
    """Computes the mean over images, `[count]`, and its `standard_error`.

    A number that is not finite or does not exist, such as the error of one value, is None. With
    `infinite_if_exact`, infinite values are those of exact images: counted and left out.
    """
    values = np.asarray(values, np.float64)
    exact = np.isposinf(values) & infinite_if_exact
    found: Summary = {"mean": None, "standard_error": None}
    if exact.any():
        found["exact"] = int(exact.sum())
    values = values[~exact]
    if len(values) and np.isfinite(values).all():
        if people is not None:
            people = [who for who, left_out in zip(people, exact) if not left_out]
        found |= {"mean": float(values.mean()), "standard_error": standard_error(values, people)}
    return found


def plus_minus(value: Summary | None, digits: int, times: float = 1) -> str:
    """Formats a `summary`, multiplied by `times`, to `digits` decimals; None is an empty cell."""
    if value is None:
        return ""
    exact = f"{value['exact']:,} exact" if "exact" in value else ""
    if value["mean"] is None:
        return exact or "not finite"
    text = f"{times * value['mean']:.{digits}f}"
    if value["standard_error"] is not None:
        text += f" ± {times * value['standard_error']:.{digits}f}"
    return text + (exact and f", {exact}")
