"""Which pictures stand where, and which figures a run can have."""

import numpy as np
import pytest

from prsr import plotting
from prsr.evaluation import paper_figures
from prsr.system.errors import UserError

COUNT = 5
LOW_RES = np.arange(COUNT, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 2, 2, 3), np.uint8)
HIGH_RES = LOW_RES.repeat(4, 1).repeat(4, 2) + np.uint8(100)
SAMPLES = HIGH_RES + np.uint8(50)


def shades(rows):
    """The first value of each picture, None for an empty cell."""
    return [[None if p is None else int(p[0, 0, 0]) for p in row] for row in rows]


def test_groups_stand_side_by_side_and_the_last_row_is_padded():
    drawn = {"tau = 1.2": SAMPLES}
    rows, captions, notes = paper_figures.side_by_side(LOW_RES, drawn, HIGH_RES, groups=2)
    assert captions == ["input", "sample", "original"] * 2 and notes is None
    assert shades(rows) == [
        [0, 150, 100, 1, 151, 101],
        [2, 152, 102, 3, 153, 103],
        [4, 154, 104, None, None, None],
    ]
    drawn["tau = 1.2, guidance 2"] = HIGH_RES
    rows, captions, _ = paper_figures.side_by_side(LOW_RES, drawn, HIGH_RES)
    assert captions == ["input", "tau = 1.2", "tau = 1.2,\nguidance 2", "original"]
    assert shades(rows)[1] == [1, 151, 101, 101]


def test_several_samples_of_an_input_share_a_row():
    drawn = {"tau = 1.2": np.stack([SAMPLES, HIGH_RES], axis=1)}
    rows, captions, _ = paper_figures.diversity(LOW_RES, drawn)
    assert captions == ["input", "sample", "sample"]
    assert shades(rows)[3] == [3, 153, 103]
    drawn["guided"] = np.stack([HIGH_RES, HIGH_RES], axis=1)
    rows, captions, _ = paper_figures.diversity(LOW_RES, drawn)
    assert captions == ["input", "tau = 1.2", "tau = 1.2", "guided", "guided"]
    assert shades(rows)[3] == [3, 153, 103, 103, 103]
    rows, captions, _ = paper_figures.corners(LOW_RES, {"Regression": HIGH_RES}, drawn["tau = 1.2"])
    assert captions == ["input", "Regression", "PixelCNN", "PixelCNN"]
    assert shades(rows)[1] == [1, 101, 151, 101]


def test_every_method_has_its_nats_below():
    """Bits per dimension are nats over ln 2 and 8 * 8 * 3 sub-pixels."""
    by_title = {"Cross-entropy, mode": SAMPLES, "original": HIGH_RES}
    nats = [p[:, 0, 0, 0] * np.log(2) * 8 * 8 * 3 / 100 for p in by_title.values()]
    rows, captions, notes = paper_figures.by_method(LOW_RES, by_title, nats)
    assert captions == ["input", "CE,\nmode", "original"]
    assert shades(rows)[0] == [0, 150, 100]
    assert notes[0] == ["nats (bits/dim):", "200 (1.50)", "133 (1.00)"]
    assert notes[1][0] == "" and notes[1][1].endswith("(1.51)")


def test_figures_that_a_run_cannot_have_are_refused():
    assert paper_figures.chosen(None, "corners") == ["2"]
    assert paper_figures.chosen(["5"], "downsampled") == ["5"]
    for name, pairs in (("3", "downsampled"), ("2", "downsampled"), ("5", "corners")):
        with pytest.raises(UserError, match=f"no figure {name}"):
            paper_figures.chosen([name], pairs)
    assert [paper_figures.images_needed(name, 4) for name in ("1", "4", "appendix")] == [4, 12, 40]


def test_maps_of_nats_and_entropy():
    """A pixel's nats are the sum of its sub-pixels'; nats share one scale, entropy has its own."""
    inside = {f"{name}_nats": np.zeros((COUNT, 8, 8, 3)) for name in ("prior", "joint")}
    inside["conditioning_nats"] = np.full((COUNT, 8, 8, 3), 4.0)
    inside["prior_nats"][1, 2, 3] = 1, 2, 3
    inside["joint_entropy_bits"] = np.full((COUNT, 8, 8, 3), 8.0)
    rows, captions, notes = paper_figures.where_the_bits_are(LOW_RES, SAMPLES, HIGH_RES, inside)
    assert captions == ["input", "sample", "original", "nats: A", "B", "A + B", "entropy: A + B"]
    dark, bright = plotting.heat(np.array([[0.0, 1.0]]), 1)[0]
    assert (rows[1][3] == bright).all() and (rows[1][6] == bright).all()
    assert (rows[0][4] == dark).all() and (rows[1][5] == dark).all()
    np.testing.assert_array_equal(rows[1][4][2, 3], plotting.heat(np.array([[6.0]]), 12)[0, 0])
    assert notes[0][2:4] == ["0 to 12 nats:", "768 (5.77)"] and notes[1][4] == "6 (0.05)"
