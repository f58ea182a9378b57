"""Tables as Markdown and as CSV."""

import csv
import io


def to_markdown(head, rows):
    """A table in Markdown.

    Args:
        head: titles of the columns.
        rows: lists of cells, as long as `head`.

    Returns:
        A str, which ends with its last line.
    """
    cells = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, row)) + " |\n" for row in cells)


def to_csv(head, rows):
    """A table as CSV, quoted where need be; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text).writerows([head, *rows])
    return text.getvalue()
