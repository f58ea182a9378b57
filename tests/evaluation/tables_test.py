import math

import pytest

from prsr.evaluation import tables


def test_mean_and_standard_error_by_hand():
    found = tables.summary([1.0, 2.0, 3.0, 4.0])
    assert found["mean"] == 2.5
    assert found["standard_error"] == pytest.approx(math.sqrt(5 / 3) / 2)  # s = sqrt(5 / 3)
    assert tables.plus_minus(found, 1, times=100) == "250.0 ± 64.5"
    # Two people: their deviations from 3 add up to -3 and 3; sqrt(2 / 1 * (9 + 9)) / 4 images.
    two = tables.summary([1.0, 2.0, 3.0, 6.0], people=[7, 7, 5, 5])
    assert two == {"mean": 3.0, "standard_error": 1.5}
    assert tables.summary([1.0, 2.0], people=[5, 5]) == {"mean": 1.5, "standard_error": None}
    assert tables.summary([1.0]) == {"mean": 1.0, "standard_error": None}
    assert tables.summary([1.0, math.inf]) == {"mean": None, "standard_error": None}
