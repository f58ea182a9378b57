"""Table 1 as data, without a model."""

import numpy as np

from prsr.evaluation import table1
from prsr.evaluation.methods import Method


def test_diversity_is_measured_on_the_first_32_inputs():
    """Of these, only the last has samples that differ."""

    def draw_samples(low_res, num_samples, bar):
        samples = np.zeros((len(low_res), num_samples, 8, 8, 3), np.uint8)
        samples[low_res.ravel() == 31, 0] = 255
        return samples

    low_res = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
    found = table1.diversity(Method("m", "M", None, {}, draw_samples=draw_samples), low_res)
    assert found.tolist() == [0] * 31 + [1 / 3]  # of 15 pairs, 5


def test_the_paper_s_numbers_stand_beside_ours():
    """Methods that are not in the paper come last."""
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
