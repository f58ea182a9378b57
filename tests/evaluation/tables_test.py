import csv

from prsr.evaluation import tables


def test_markdown():
    assert tables.to_markdown(["a", "b"], [["x", 1], ["", None]]) == (
        "| a | b |\n| --- | --- |\n| x | 1 |\n|  | None |\n"
    )


def test_csv_comes_back_as_it_was():
    rows = [["a,b", 'say "x"'], ["line\nbreak", ""]]
    text = tables.to_csv(["one", "two"], [*rows, [None, 2]])
    assert list(csv.reader(text.splitlines(keepends=True))) == [["one", "two"], *rows, ["", "2"]]
