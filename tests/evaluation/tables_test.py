import csv
import io
import json
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


def test_exact_images_are_counted_and_the_rest_averaged():
    """As in JSON, which has no infinity. Otherwise a mean is finite, or said not to be."""

    def text(values, **options):
        found = json.loads(json.dumps(tables.summary(values, **options), allow_nan=False))
        return tables.plus_minus(found, 1)

    assert text([1.0, 3.0, math.inf], infinite_if_exact=True) == "2.0 ± 1.0, 1 exact"
    assert text([math.inf] * 1000, infinite_if_exact=True) == "1,000 exact"
    assert text([math.nan, 1.0]) == text([math.inf, 1.0]) == "not finite"


FORMULAS = ["=1+1.png", "-6ZUuA", "+1", "@a", "\ta", "'"]
NUMBERS = ["745090E8", "007", "1-2", "5-Mar", "SEPT2", "1:30 PM", "TRUE"]


@pytest.mark.parametrize("text", FORMULAS + NUMBERS)
def test_a_spreadsheet_takes_a_text_as_a_text(text):
    """It begins with an apostrophe. Numbers, and texts that no spreadsheet converts, do not."""
    plain = ["000001.jpg", "tau_1.1", "A1B2C3", "", 1.5, -2, 'a,\u2028\n"b']
    head, row = csv.reader(io.StringIO(tables.to_csv(["x"], [[text, *plain]]), newline=""))
    assert row == [f"'{text}", *map(str, plain)]
