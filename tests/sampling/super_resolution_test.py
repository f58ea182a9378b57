"""What is written of some inputs, by a model that needs no training."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import Image

from prsr import images
from prsr.data import inputs
from prsr.hparams import DataHparams, Hparams, ModelHparams, Sampling
from prsr.models import likelihood
from prsr.models.build import build_model
from prsr.sampling import samplers, super_resolution
from prsr.system.errors import UserError

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module", params=["cross_entropy", "regression"])
def trained(request):
    """An untrained baseline; for the paper's model, see the command's tests."""
    keras.utils.set_random_seed(1)
    model = ModelHparams(request.param, blocks_per_stage=0, conditioning_width=4)
    hparams = Hparams(model, DataHparams(image_size=8))
    return hparams, build_model(hparams)


@pytest.fixture
def chosen(trained, tmp_path):
    """A picture of the high size, and one of the low size."""
    for name, size in (("large", 8), ("small", 2)):
        pixels = RNG.integers(0, 256, (size, size, 3), dtype=np.uint8)
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{name}.png")
    return inputs.read_inputs(tmp_path / "in", trained[0])


def super_resolve(trained, chosen, output, **changes):
    hparams, model = trained
    options = {"num_samples": 2, "sampling": Sampling(1.0), "seed": 1, "batch_size": 3} | changes
    sampler = samplers.sampler(model, hparams.data.downsampling)
    super_resolution.super_resolve(model, sampler, chosen, output, **options)


def test_samples_a_grid_and_scores(trained, chosen, tmp_path, capsys):
    out, (_, model) = tmp_path / "out", trained
    super_resolve(trained, chosen, out)
    names = {path.name for path in out.iterdir()}
    pngs = {f"{name}_{k}.png" for name in ("large", "small") for k in (1, 2)}
    scored = {"nats.json"} if model.has_likelihood else set()
    assert names == pngs | scored | {"grid.png"}
    assert ("nats per image" in capsys.readouterr().out) == model.has_likelihood
    if not model.has_likelihood:
        return
    large, small = json.loads((out / "nats.json").read_text())
    assert "original" not in small["nats_per_image"]
    low_res = chosen[0].low_res[None]
    for name, picture in {
        "bicubic": np.asarray(images.upsample_bicubic(low_res, 4))[0],
        "original": chosen[0].high_res,
    }.items():
        expected = likelihood.nats(model, low_res, np.asarray(picture)[None], 1)
        np.testing.assert_allclose(large["nats_per_image"][name], expected[0], rtol=1e-5)
    picture = np.asarray(Image.open(out / "large_2.png"))
    expected = likelihood.nats(model, low_res, picture[None], 1)
    np.testing.assert_allclose(large["nats_per_image"]["samples"][1], expected[0], rtol=1e-5)


def test_where_nothing_can_be_written_nothing_is_drawn(trained, chosen, tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="could not write to"):
        super_resolve(trained, chosen, tmp_path / "file")
    assert "drawing" not in capsys.readouterr().err


def many(count):
    """Inputs of the low size."""
    pixels = RNG.integers(0, 256, (count, 2, 2, 3), dtype=np.uint8)
    return [inputs.Input(f"i{n:03d}", low_res, None) for n, low_res in enumerate(pixels)]


def test_of_a_kill_all_batches_but_one_are_left(trained, tmp_path, monkeypatch):
    out, batches = tmp_path / "out", []
    whole = samplers.sampler(trained[1])

    def killed_in_the_third(low_res, seeds, sampling):
        batches.append(len(list(out.glob("*_*.png"))))
        if len(batches) == 3:
            raise KeyboardInterrupt
        return whole(low_res, seeds, sampling)

    monkeypatch.setattr(samplers, "sampler", lambda *_: killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        super_resolve(trained, many(20), out)
    assert batches == [0, 3, 6]  # samples, two of each input


def test_the_grid_is_bounded_and_says_so(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(super_resolution, "_MOST_ROWS", 5)
    super_resolve(trained, many(7), tmp_path, batch_size=4)
    assert Image.open(tmp_path / "grid.png").height == 28 + 5 * (128 + 6)
    assert len(list(tmp_path.glob("i*.png"))) == 14
    captured = capsys.readouterr()
    assert "14 samples and grid.png (the first 5 of 7 images)" in captured.out
    assert "drawing samples: 12 of 14, 0:0" in captured.err
    if trained[1].has_likelihood:
        assert len(json.loads((tmp_path / "nats.json").read_text())) == 7


def test_a_name_that_the_disk_refuses_is_found_before_drawing(trained, tmp_path, capsys):
    (image,) = many(1)
    with pytest.raises(UserError, match="could not write to"):
        super_resolve(trained, [dataclasses.replace(image, name="x" * 250)], tmp_path)
    assert "drawing" not in capsys.readouterr().err and not list(tmp_path.iterdir())
