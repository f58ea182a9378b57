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
    assert TOUR.stat().st_size < 1_500_000
    outputs = [output for cell in cells("code") for output in cell["outputs"]]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 8
    assert not any(output["output_type"] == "error" for output in outputs)
    assert [cell["execution_count"] for cell in cells("code")] == list(
        range(1, len(cells("code")) + 1)
    )
    text = re.sub(r'"image/png": "[^"]*"', "", TOUR.read_text())
    assert not re.search(r"/home/|/root/|/tmp/|Traceback|image/jpeg", text)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    """It prints and draws as many things as it shows, within minutes."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
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
