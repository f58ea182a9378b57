"""Table 1 as data, without a model."""

import numpy as np

from prsr.evaluation import table1
from prsr.evaluation.methods import Method


def test_diversity_is_of_the_first_inputs_of_many():
    asked = []

    def draw_samples(low_res, num_samples, bar):
        asked.append((low_res, num_samples))
        return np.zeros((len(low_res), num_samples, 8, 8, 3), np.uint8)

    low_res = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
    method = Method("m", "M", None, {}, draw_samples=draw_samples)
    assert len(table1.diversity(method, low_res)) == 32
    ((inputs, count),) = asked
    np.testing.assert_array_equal(inputs, low_res[:32])
    assert count == 6


def test_the_paper_s_row_stands_beside_ours():
    """Methods that the paper does not have come last."""
    names = ("psnr", "psnr_uint8_wrap", "ssim", "ms_ssim", "consistency")
    values = {name: np.array([0.5, 0.7]) for name in names}
    methods = [Method("m", "M", None, {}, in_paper=False), Method("nn", "NN", None, {})]
    methods.append(Method("greedy", "greedy", None, {}))
    rows = [table1.row(m, values, (32, 32, 3), "bedrooms") for m in methods]
    table = table1.markdown({"rows": rows, "test_images": 2})
    nn = next(line for line in table.splitlines() if line.startswith("| NN"))
    assert nn == (
        "| NN | 0.60 ± 0.10 | 0.60 ± 0.10 | 28.15 | 0.600 ± 0.100 | 0.49 | 0.600 ± 0.100 | 0.45 "
        "| 0.60000 ± 0.10000 | 0.04 |"
    )
    assert "| greedy | 0.60 ± 0.10 | 0.60 ± 0.10 |  |" in table
    titles = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert titles[2:] == ["NN", "greedy", "**not in the paper:**", "M"]
