"""python -m prsr.figures as its own process."""

import numpy as np
from PIL import Image

from tests.conftest import assert_one_line, call, run


def test_figures(tiny_run, baseline_runs, tmp_path):
    baselines = f"--baselines=bicubic,{baseline_runs / 'regression'}"
    arguments = [f"--workdir={tiny_run}", baselines, "--num_images=1", "--num_samples=2"]
    result = run("figures", *arguments, f"--output={tmp_path}")
    assert result.returncode == 0, result.stderr
    stems = ["figure1", "figure4", "figure5", "figure6", "temperature", "bits", "appendix"]
    for stem in stems:
        assert np.asarray(Image.open(tmp_path / f"{stem}.png")).std() > 10
        assert (tmp_path / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
    assert len(list(tmp_path.iterdir())) == 2 * len(stems)
    assert_one_line(call("figures", *arguments, "--figures=2"), "no figure 2", "appendix")
