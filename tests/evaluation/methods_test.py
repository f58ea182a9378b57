"""Every way to enlarge an image, and which baselines fit a model."""

import json

import numpy as np
import pytest

from prsr import images
from prsr.evaluation import methods
from prsr.hparams import Hparams, ModelHparams, Sampling
from prsr.models.build import build_model
from prsr.system.errors import UserError
from prsr.workdir.directory import Workdir

LOW_RES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)


def of_run(folder, architecture, samplings=()):
    """An untrained model, and its methods by their keys, as if its run were in a folder."""
    workdir = Workdir(folder)
    workdir.weights.write_bytes(b"weights")
    hparams = Hparams(ModelHparams(architecture, 3, 2, 1, 4, "batch", 3, 1, 3))
    model = build_model(hparams)
    found = methods.run_methods(workdir, hparams, model, samplings, seed=1, batch_size=2)
    return model, {method.key.removeprefix(f"{architecture}_"): method for method in found}


def test_mode_mean_and_samples_of_a_known_distribution(tmp_path):
    """Every sub-pixel has the same distribution, whatever the input."""
    model, found = of_run(tmp_path, "cross_entropy")
    bias = np.full((3, 256), -1e4, np.float32)
    bias[:, [10, 30, 250]] = np.log([0.5, 0.3, 0.2])
    model.logits.kernel.assign(np.zeros(model.logits.kernel.shape))
    model.logits.bias.assign(bias.ravel())
    mode, mean, sample = (found[name].predict(LOW_RES) for name in ("mode", "mean", "sample"))
    assert mode.shape == (5, 8, 8, 3) and mode.dtype == np.uint8
    assert np.all(mode == 10)
    assert np.all(mean == 64)  # 5 + 9 + 50
    shares = [np.mean(sample == value) for value in (10, 30, 250)]
    assert sum(shares) == 1
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.06)  # of 960
    assert [name for name, method in found.items() if method.draw_samples] == ["sample"]
    assert [name for name, method in found.items() if "seed" in method.made_by] == ["sample"]


def test_regression_is_bicubic_plus_a_clipped_residual(tmp_path):
    model, found = of_run(tmp_path, "regression")
    method = found["regression"]
    model.residual.kernel.assign(np.zeros(model.residual.kernel.shape))
    assert method.draw_samples is None and method.made_by.keys() == {"weights_sha256"}
    bicubic = np.asarray(images.upsample_bicubic(LOW_RES, 2)).astype(int)
    for bias in (0.0, 0.2, -5.0):
        model.residual.bias.assign(np.full(3, bias))
        expected = np.clip(np.round(bicubic + 255 * np.tanh(bias)), 0, 255)
        found = method.predict(LOW_RES)
        assert found.dtype == np.uint8 and np.abs(found - expected).max() <= 1  # rounding
    assert model(LOW_RES).numpy().min() < -0.5  # unclipped where it is trained


def test_each_sampling_notes_what_its_images_depend_on(tmp_path):
    """The notes are version 0.2's, so that its evaluations continue."""
    samplings = [Sampling(1.0), Sampling(float("inf")), Sampling(1.2, 2.0, match_input=True)]
    _, found = of_run(tmp_path, "pixel_recursive", samplings)
    notes = {key: {**method.made_by} for key, method in found.items()}
    assert len({note.pop("weights_sha256") for note in notes.values()}) == 1
    guided = {"tau": "1.2", "guidance": 2.0, "match_input": "end", "seed": 1}
    assert notes == {
        "tau_1": {"tau": "1.0", "seed": 1},
        "greedy": {"tau": "inf"},
        "tau_1.2_guidance_2_matched": guided,
    }


def test_baselines_that_do_not_fit_are_refused(tiny_run, tmp_path, baseline_runs):
    hparams = Workdir(tiny_run).read_hparams()
    source, _ = Workdir(tiny_run).open_images(hparams)

    def chosen(run_directory):
        return methods.baseline_methods([str(run_directory)], hparams, source, 1, 1)

    with pytest.raises(UserError, match="not a baseline"):
        chosen(tiny_run)
    settings = json.loads((baseline_runs / "regression" / "settings.json").read_text())
    settings["hparams"]["data"]["crop"] = "celeba"
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match="crop=celeba"):
        chosen(tmp_path)
    assert [method.key for method in chosen(baseline_runs / "regression")] == ["regression"]
