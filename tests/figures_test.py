"""python -m prsr.figures."""

import numpy as np
from PIL import Image

from tests.conftest import assert_one_line, call, succeed


def test_all_figures_or_the_chosen_ones_are_written(tiny_run, baseline_runs, tmp_path):
    baselines = f"--baselines=bicubic,{baseline_runs / 'regression'}"
    arguments = [f"--workdir={tiny_run}", baselines, "--num_images=1", "--num_samples=2"]
    guided = tmp_path / "guided"
    succeed(call("figures", *arguments, "--guidance=2", "--match_input", f"--output={guided}"))
    stems = ["figure1", "figure4", "figure5", "figure6", "temperature", "guidance", "bits"]
    stems += ["appendix"]
    for stem in stems:
        assert np.asarray(Image.open(guided / f"{stem}.png")).std() > 10
        assert (guided / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
    assert len(list(guided.iterdir())) == 2 * len(stems)
    succeed(call("figures", *arguments, "--figures=1", f"--output={tmp_path}"))
    widths = [Image.open(folder / "figure1.png").width for folder in (tmp_path, guided)]
    assert widths[1] > widths[0]  # ours beside the paper's
    assert_one_line(call("figures", *arguments, "--figures=2"), "no figure 2", "appendix")
    baseline = f"--workdir={baseline_runs / 'regression'}"
    assert_one_line(call("figures", baseline), "pixel_recursive", "regression")
