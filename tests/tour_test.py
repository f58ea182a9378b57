"""The notebook: it runs where there is no network, and what it shows is what it gave."""

import json
import os
import re

import pytest

from tests.conftest import ROOT

TOUR = ROOT / "docs" / "tour.ipynb"


def cells(kind):
    notebook = json.loads(TOUR.read_text())
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_the_notebook_is_small_and_kept_with_its_outputs():
    """The notebook holds the outputs of one run in order, without errors or local paths."""
    text = TOUR.read_text()
    assert len(text) < 1_500_000 and text.count('"image/png"') >= 8
    text = re.sub(r'"image/png": "[^"]*"', "", text)
    assert not re.search(r'/home/|/root/|/tmp/|"output_type": "error"|image/jpeg', text)
    counts = [cell["execution_count"] for cell in cells("code")]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    """The notebook runs in minutes, and prints and draws as many things as it shows."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(TOUR, 4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=900, resources=resources).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for now, kept in zip(code, cells("code"), strict=True):
        assert [output.output_type for output in now.outputs] == [
            output["output_type"] for output in kept["outputs"]
        ]
