"""python -m prsr.figures."""

import numpy as np
from PIL import Image

from tests.conftest import assert_one_line, call, succeed


def test_figures(tiny_run, baseline_runs, tmp_path):
    baselines = f"--baselines=bicubic,{baseline_runs / 'regression'}"
    arguments = [f"--workdir={tiny_run}", baselines, "--num_images=1", "--num_samples=2"]
    succeed(call("figures", *arguments, f"--output={tmp_path}"))
    stems = ["figure1", "figure4", "figure5", "figure6", "temperature", "guidance", "bits"]
    stems += ["appendix"]
    for stem in stems:
        assert np.asarray(Image.open(tmp_path / f"{stem}.png")).std() > 10
        assert (tmp_path / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
    assert len(list(tmp_path.iterdir())) == 2 * len(stems)
    guided = [*arguments, "--guidance=2", "--match_input", "--figures=1,6"]
    succeed(call("figures", *guided, f"--output={tmp_path / 'guided'}"))
    for name in ("figure1.png", "figure6.png"):
        widths = [Image.open(folder / name).width for folder in (tmp_path, tmp_path / "guided")]
        assert widths[1] - widths[0] == 134  # ours beside the paper's
    assert_one_line(call("figures", *arguments, "--figures=2"), "no figure 2", "appendix")
    baseline = f"--workdir={baseline_runs / 'regression'}"
    assert_one_line(call("figures", baseline), "pixel_recursive", "regression")
