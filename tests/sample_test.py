"""python -m prsr.sample, in this process, and the function that it calls."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import prsr
from prsr import images
from prsr import sample as command
from prsr.data import inputs
from prsr.hparams import DataHparams, Hparams, ModelHparams, Sampling
from prsr.models import likelihood
from prsr.models.build import build_model
from prsr.sampling import samplers
from tests.conftest import assert_one_line, call, succeed
from tests.data.pictures import picture, shows


def read(path):
    return np.asarray(Image.open(path))


def sample(workdir, *arguments):
    return succeed(call("sample", f"--workdir={workdir}", *arguments))


def test_images_of_any_size_in_a_folder_are_sampled(tiny_run, tmp_path):
    """Small and large images become 8x8 through 2x2; a broken one is skipped."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    picture(size=(2, 2)).save(tmp_path / "in" / "tiny.png")
    picture(1, (60, 40)).save(tmp_path / "in" / "deep" / "photo.jpg")
    picture(2, (5, 5)).save(tmp_path / "in" / "middling.bmp")
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    out = tmp_path / "out"
    result = sample(tiny_run, f"--input={tmp_path / 'in'}", f"--output={out}", "--num_samples=3")
    assert "tiny: used as is, 2x2" in result.stdout
    assert "deep-photo: 60x40, center crop to 40x40, reduced to 8x8" in result.stdout
    assert "middling: 5x5, reduced to 2x2" in result.stdout
    assert "skipped 1 of 4 images: broken.png" in result.stderr
    assert "nats per image" in result.stdout
    names = [f"{stem}_{k}.png" for stem in ("deep-photo", "middling", "tiny") for k in (1, 2, 3)]
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "grid.png", "nats.json"])
    assert all(read(out / name).shape == (8, 8, 3) for name in names)
    report = {e["name"]: e["nats_per_image"] for e in json.loads((out / "nats.json").read_text())}
    assert "original" in report["deep-photo"] and "original" not in report["tiny"]
    assert all(len(scores["samples"]) == 3 for scores in report.values())


def test_transparent_parts_of_given_are_drawn(tiny_run, tmp_path):
    """Transparent parts lie above, between and below; opaque pixels stay."""
    picture(size=(2, 2)).save(tmp_path / "a.png")
    given = np.full((8, 8, 4), 77, np.uint8)
    given[..., 3] = np.random.default_rng(0).choice([0, 128, 255], (8, 8))
    Image.fromarray(given).save(tmp_path / "given.png")
    arguments = [f"--input={tmp_path / 'a.png'}", f"--output={tmp_path}", "--num_samples=2"]
    arguments += [f"--given={tmp_path / 'given.png'}", "--match_input", "--seed=4"]
    sample(tiny_run, *arguments)
    expected = np.where(given[..., 3:] == 255, given[..., :3].astype(int), -1)
    drawn = prsr.load(tiny_run).sample(
        read(tmp_path / "a.png"), 2, seed=4, match_input=True, given=expected
    )
    for k in range(2):
        np.testing.assert_array_equal(read(tmp_path / f"a_{k + 1}.png"), drawn[k])
    assert (drawn[:, given[..., 3] == 255] == 77).all()


@pytest.mark.slow
def test_other_images_batches_and_devices_change_no_sample(tiny_run, tmp_path):
    for i in range(3):
        picture(i, (2, 2)).save(tmp_path / f"{i}.png")
    one, two = tmp_path / "one", tmp_path / "two"
    options = ["--num_samples=2", "--num_replicas=2"]
    sample(tiny_run, f"--input={tmp_path}", f"--output={one}", *options)
    sample(tiny_run, f"--input={tmp_path / '1.png'}", f"--output={two}", "--batch_size=1")
    for k in (1, 2):
        np.testing.assert_array_equal(read(one / f"1_{k}.png"), read(two / f"1_{k}.png"))
    assert not np.array_equal(read(one / "1_1.png"), read(one / "1_2.png"))


def test_the_test_split_is_the_default_and_infinite_tau_draws_once(baseline_runs, tmp_path):
    arguments = [f"--output={tmp_path}", "--num_images=2", "--num_samples=3", "--tau=inf"]
    assert "2 samples " in sample(baseline_runs / "cross_entropy", *arguments).stdout
    report = json.loads((tmp_path / "nats.json").read_text())
    assert len(report) == 2 and "original" in report[0]["nats_per_image"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input=/no/such.png", "--output=OUT"], ["/no/such.png", "no such file or folder"]),
        (["--input=IN/small.png", "--output=OUT"], ["smaller than 2x2"]),
        (["--input=IN/good.png", "--output=OUT", "--tau=0"], ["tau"]),
        (["--input=IN/good.png", "--output=IN/good.png"], ["good.png"]),
        (["--input=IN/good.png", "--output=OUT", "--workdir=IN"], ["run directory"]),
        (["--input=IN/broken.jpg"], ["broken.jpg"]),
        (["--input=IN/good.png", "--given=IN/good.png"], ["has 2x2 pixels", "8x8"]),
        (["--input=IN/good.png", "--given=IN/opaque.png"], ["opaque.png", "transparent"]),
    ],
)
def test_invalid_flags_end_in_one_line_before_anything_is_drawn(
    tiny_run, tmp_path, arguments, words
):
    picture(size=(2, 2)).save(tmp_path / "good.png")
    picture(size=(8, 8)).save(tmp_path / "opaque.png")
    picture(size=(1, 9)).save(tmp_path / "small.png")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    arguments = [
        a.replace("=IN", f"={tmp_path}").replace("=OUT", f"={tmp_path / 'out'}") for a in arguments
    ]
    result = call("sample", f"--workdir={tiny_run}", *arguments)
    assert_one_line(result, *words)
    assert "drawing" not in result.stderr


def test_an_output_folder_may_be_the_input_folder(baseline_runs, tmp_path):
    """Run twice in one folder, the command draws the same images, and no samples of samples."""
    folder = tmp_path / "in"
    folder.mkdir()
    picture(size=(8, 8)).save(folder / "what? 50%.png")
    workdir = baseline_runs / "cross_entropy"
    arguments = [f"--input={folder}", f"--output={folder}", "--num_samples=1"]
    first = sample(workdir, *arguments)
    names = {path.name for path in folder.iterdir()}
    assert names == {"what? 50%.png", "what%3F 50%_1.png", "grid.png", "nats.json"}
    again = sample(workdir, *arguments)
    assert {path.name for path in folder.iterdir()} == names and again.stdout == first.stdout
    assert "skipped 2 images that this program wrote" in again.stderr


@pytest.fixture(scope="module", params=["cross_entropy", "regression"])
def trained(request):
    """An untrained baseline of 8x8 images, with its settings and sampler."""
    keras.utils.set_random_seed(1)
    sizes = ModelHparams(request.param, blocks_per_stage=0, conditioning_width=4)
    hparams = Hparams(sizes, DataHparams(image_size=8))
    model = build_model(hparams)
    return hparams, model, samplers.Sampler(model)


def super_resolve(model, sampler, chosen, output, batch_size=3):
    command.super_resolve(model, sampler, chosen, output, 2, Sampling(1.0), 1, batch_size)


def many(count):
    """Inputs of the low size, without originals."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 2, 2, 3), dtype=np.uint8)
    return [inputs.Input(f"i{n:03d}", low_res, None) for n, low_res in enumerate(pixels)]


def test_the_grid_and_the_scores_are_of_the_written_images(trained, tmp_path, capsys):
    """The images are found in the grid, and the likelihoods are the model's."""
    hparams, model, sampler = trained
    for name, size in (("large", 8), ("small", 2)):
        (tmp_path / "in").mkdir(exist_ok=True)
        picture(size=(size, size)).save(tmp_path / "in" / f"{name}.png")
    chosen, out = inputs.read_inputs(tmp_path / "in", hparams), tmp_path / "out"
    super_resolve(model, sampler, chosen, out)
    assert (out / "nats.json").exists() == model.has_likelihood
    low_res, original = chosen[0].low_res, chosen[0].high_res
    bicubic = np.asarray(images.upsample_bicubic(low_res, 4))
    drawn = [read(out / f"large_{k}.png") for k in (1, 2)]
    grid = read(out / "grid.png")
    assert all(shows(grid, shown) for shown in (low_res, bicubic, *drawn, original))
    assert ("nats per image" in capsys.readouterr().out) == model.has_likelihood
    if model.has_likelihood:
        large, small = [e["nats_per_image"] for e in json.loads((out / "nats.json").read_text())]
        assert "original" not in small and len(small["samples"]) == 2
        pictures = np.stack([bicubic, *drawn, original])
        expected = likelihood.nats(model, np.stack([low_res] * 4), pictures, 4)
        found = [large["bicubic"], *large["samples"], large["original"]]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_grid_is_limited_to_the_first_images(trained, tmp_path, monkeypatch, capsys):
    _, model, sampler = trained
    monkeypatch.setattr(command, "_MAX_ROWS", 5)
    super_resolve(model, sampler, many(7), tmp_path, batch_size=4)
    assert Image.open(tmp_path / "grid.png").height // 128 == 5
    assert len(list(tmp_path.glob("i*.png"))) == 14
    captured = capsys.readouterr()
    assert "14 samples and grid.png (the first 5 of 7 images)" in captured.out
    assert "drawing samples: 12 of 14, 0:0" in captured.err
    if model.has_likelihood:
        assert len(json.loads((tmp_path / "nats.json").read_text())) == 7


def test_an_interruption_keeps_every_earlier_batch(trained, tmp_path):
    _, model, sampler = trained
    batches = []

    def interrupted(*arguments):
        batches.append(len(list(tmp_path.glob("*_*.png"))))
        if len(batches) == 3:
            raise KeyboardInterrupt
        return sampler(*arguments)

    with pytest.raises(KeyboardInterrupt):
        super_resolve(model, interrupted, many(20), tmp_path)
    assert batches == [0, 3, 6]  # samples, two of each input
    if model.has_likelihood:
        assert len(json.loads((tmp_path / "nats.json").read_text())) == 3
