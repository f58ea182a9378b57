import numpy as np

from prsr.evaluation import mnist_corners

DIGIT = np.zeros((8, 8, 1), np.uint8)
DIGIT[2:6, 3:5] = 200


def canvas(left=0.0, right=0.0, below=0.0):
    result = np.zeros((16, 16, 1), np.float64)
    result[:8, :8] += left * DIGIT
    result[:8, 8:] += right * DIGIT
    result[8:, :8] += below * DIGIT
    return result.astype(np.uint8)


def test_canvases_with_exactly_one_digit_by_hand():
    """Exactly one corner must be full, and the rest of the canvas empty."""
    canvases = np.stack(
        [
            canvas(left=1),
            canvas(right=1),
            canvas(left=1, right=1),
            canvas(),
            canvas(left=0.5, right=0.5),  # what L2 regression makes
            canvas(left=0.6, right=0.05),
            canvas(left=0.4),  # too faint
            canvas(right=1, below=0.2),  # a digit, and something else
        ]
    )
    found = mnist_corners.count(canvases, np.stack([DIGIT] * len(canvases)))
    assert found["exactly_one"].tolist() == [True, True, False, False, False, True, False, False]
    assert found["both"].tolist() == [False, False, True, False, True, False, False, False]


class Reader:
    """Reads class 1 where the corner is the digit itself, else 0."""

    def predict(self, corners, **_):
        right = (corners == DIGIT).all(axis=(1, 2, 3))
        return np.stack([~right, right], axis=1)


def test_a_row_of_the_report_by_hand():
    """The classifier reads the fuller corner."""
    canvases = np.stack([canvas(left=1), canvas(right=1), canvas(right=1), canvas(1, 1)])
    digits, labels = np.stack([DIGIT] * 4), np.ones(4, int)
    row = mnist_corners.row("A", canvases, digits, labels, Reader(), np.arange(4.0))
    table = mnist_corners.markdown([row], (16, 16, 1))
    # The upper right corner has two of the three with exactly one.
    assert (
        "| A | 75.0 ± 25.0% | 25.0 ± 25.0% | 66.7 ± 33.3% | 100.0 ± 0.0% | 1.50 ± 0.65 |" in table
    )
