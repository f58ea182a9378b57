import importlib

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from prsr import plotting

SMALL = np.random.default_rng(0).integers(0, 256, (2, 2, 3), dtype=np.uint8)
LARGE = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def test_a_sheet_repeats_pixels_to_one_size():
    """Both become 128x128, from 6 pixels on, below 28 for the captions."""
    sheet = np.asarray(plotting.sheet([[SMALL, LARGE], [LARGE, None]], ["one", "two"]))
    assert sheet.shape == (28 + 2 * (128 + 6), 6 + 2 * (128 + 6), 3)
    for picture, x, y in ((SMALL, 6, 28), (LARGE, 140, 28), (LARGE, 6, 162)):
        times = 128 // len(picture)
        expected = picture.repeat(times, 0).repeat(times, 1)
        np.testing.assert_array_equal(sheet[y : y + 128, x : x + 128], expected)
    assert (sheet[162:, 140:] == 255).all()  # the empty cell
    assert (sheet[:28, 6:134] < 255).any()  # its caption


def test_a_sheet_without_captions_is_lower_and_one_with_notes_higher():
    plain = plotting.sheet([[LARGE]], [""])
    assert plain.size == (128 + 12, 128 + 12)
    noted = np.asarray(plotting.sheet([[LARGE]], [""], [["why"]]))
    assert noted.shape[0] == plain.height + 22 and (noted[-28:] < 255).any()


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
