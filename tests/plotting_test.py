import importlib

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from prsr import plotting
from tests.data.pictures import shows

SMALL = np.random.default_rng(0).integers(0, 256, (2, 2, 3), dtype=np.uint8)
LARGE = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def test_a_sheet_repeats_pixels_to_one_size():
    """Pictures become 128x128, in their rows and columns; an empty cell stays white."""
    sheet = np.asarray(plotting.sheet([[SMALL, LARGE], [LARGE, None]], ["one", "two"]))
    height, width = (side // 2 for side in sheet.shape[:2])
    assert shows(sheet[:, :width], SMALL) and shows(sheet[height:, :width], LARGE)
    assert shows(sheet[:, width:], LARGE) and (sheet[-128:, -128:] == 255).all()
    plain = np.asarray(plotting.sheet([[SMALL, LARGE], [LARGE, None]], ["", "two"]))
    assert plain.shape == sheet.shape and (plain != sheet).any()


def test_a_sheet_without_captions_is_lower_and_one_with_notes_higher():
    plain, captioned = (plotting.sheet([[LARGE]], [text]) for text in ("", "one"))
    assert plain.width == plain.height == captioned.width < captioned.height
    noted = np.asarray(plotting.sheet([[LARGE]], [""], [["why"]]))
    assert shows(noted, LARGE) and (noted[plain.height :] < 255).any()


@pytest.mark.parametrize(
    "records",
    [
        [],
        [{"step": 1, "train/bits_per_dim/joint": 8.0}, {"step": 2, "learning_rate": 1.0}],
        [{"step": 1, "train/mean_squared_error": 0.1, "validation/mean_squared_error": 0.2}],
    ],
)
def test_curves_are_drawn_of_any_records(tmp_path, records):
    plotting.curves(records, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").width == 840


def test_heat_uses_viridis():
    """Viridis begins dark blue and ends bright yellow, also beyond the end of the scale."""
    colours = plotting.heat(np.array([[0.0, 5.0, 10.0, 99.0]]), 10)
    assert colours.dtype == np.uint8 and colours[0, 0].tolist() == [68, 1, 84]
    assert colours[0, 2].tolist() == colours[0, 3].tolist() == [253, 231, 37]
    assert (np.diff(colours[0, :3].astype(int).sum(-1)) > 0).all()


def test_a_notebook_keeps_its_plots(tmp_path):
    """Importing and drawing leave matplotlib's backend and the open figures unchanged."""
    before = matplotlib.get_backend()
    matplotlib.use("svg")
    importlib.reload(plotting)
    plotting.curves([], tmp_path / "curves.png")
    plotting.save_pdf([[LARGE]], [""], tmp_path / "sheet.pdf")
    assert matplotlib.get_backend() == "svg" and pyplot.get_fignums() == []
    matplotlib.use(before)
