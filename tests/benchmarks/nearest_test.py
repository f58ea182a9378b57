"""What is timed is the search of Table 1's baseline."""

import numpy as np
import pytest

from benchmarks import nearest, rounds


def brute_force(database_images, queries):
    """The mean distance from each query of noise to the nearest image of noise."""
    entries = nearest._noise((database_images, 8, 8, 3), 0).reshape(database_images, -1)
    wanted = nearest._noise((queries, 8, 8, 3), 1).reshape(queries, -1)
    squares = np.square(wanted[:, None].astype(int) - entries[None].astype(int)).sum(-1)
    return np.sqrt(squares.min(axis=1)).mean()


def test_every_variant_finds_the_nearest(monkeypatch):
    monkeypatch.setattr(rounds, "matrix_product", lambda: (lambda: None, 1e9))
    rows = nearest.compare(60, 7, 1)
    assert rows[0]["variant"] == nearest.OURS and rows[0]["ours_relative"] == 1
    for row in rows:  # faiss' as well, if it is installed
        assert row["mean_distance"] == pytest.approx(brute_force(60, 7))
        assert (row["database_images"], row["queries"]) == (60, 7) and row["seconds"] > 0


def test_mean_distance_by_hand():
    """Distances of 5 (differences of 3 and 4) and of 0 have a mean of 2.5."""
    one, other = np.zeros((2, 2, 8, 8, 3), np.uint8)
    other[0, 0, 0, :2] = (3, 4)
    assert nearest._distance(one, other) == 2.5
