import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from prsr import images
from prsr.data import inputs
from prsr.hparams import DataHparams, Hparams
from prsr.system.errors import UserError

HPARAMS = Hparams(data=DataHparams(crop="celeba"))


def read(tmp_path, size, hparams=HPARAMS):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (image,) = inputs.read_inputs(tmp_path / "a.png", hparams)
    return pixels, image


def test_a_true_input_is_taken_as_it_is(tmp_path, capsys):
    pixels, image = read(tmp_path, (8, 8))
    np.testing.assert_array_equal(image.low_res, pixels)
    assert image.high_res is None and "used as is" in capsys.readouterr().out


def test_an_aligned_image_is_reduced_as_in_training(tmp_path, capsys):
    pixels, image = read(tmp_path, (178, 218))
    expected = images.resize(pixels[40:178, 20:158], (32, 32))
    np.testing.assert_array_equal(image.high_res, expected)
    np.testing.assert_array_equal(image.low_res, images.downsample(np.asarray(expected), 4))
    assert "celeba crop to 138x138" in capsys.readouterr().out


def test_a_picture_of_another_shape_is_cut_at_its_center(tmp_path, capsys):
    pixels, image = read(tmp_path, (50, 40))
    np.testing.assert_array_equal(image.high_res, images.resize(pixels[:, 5:45], (32, 32)))
    assert "center crop to 40x40 (should show only the face; alignment finds it)" in (
        capsys.readouterr().out
    )


def test_between_the_two_sizes_there_is_no_original(tmp_path):
    pixels, image = read(tmp_path, (20, 20))
    np.testing.assert_array_equal(image.low_res, images.resize(pixels, (8, 8)))
    assert image.high_res is None


def test_file_names_are_distinct():
    names = ["deep/photo.jpg", "deep-photo.png", "a.jpg", "a.png", "b.png"]
    labels = inputs._labels(names)
    assert labels == ["deep-photo", "deep-photo-2", "a", "a-2", "b"]


@pytest.mark.parametrize("size", [(14, 14), (28, 28)])
def test_grey_models_get_grey_images(tmp_path, size):
    model = dataclasses.replace(HPARAMS.model, channels=1, scale=2)
    hparams = Hparams(model, DataHparams(image_size=28))
    assert read(tmp_path, size, hparams)[1].low_res.shape == (14, 14, 1)


def files_of(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / name, "PNG")
    return folder


def test_earlier_outputs_are_no_inputs(tmp_path, capsys):
    folder = files_of(tmp_path / "in", "a.png", "grid.png", "b.png")
    picture = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    for name in ("a_1.png", "out/grid.png", "out/step_00000006.png"):
        images.save(picture, folder / name)
    assert [i.name for i in inputs.read_inputs(folder, HPARAMS)] == ["a", "b", "grid"]
    assert "skipped 3 images that this program wrote" in capsys.readouterr().err
    (image,) = inputs.read_inputs(folder / "a_1.png", HPARAMS)  # named by itself, it is meant
    assert image.name == "a_1"
    with pytest.raises(UserError, match="no others"):
        inputs.read_inputs(folder / "out", HPARAMS)


def test_outputs_of_version_0_1_are_known_by_their_list(tmp_path, capsys):
    folder = files_of(tmp_path / "in", "a.png", "a_1.png", "a_2.png", "b_1.png", "grid.png")
    report = [{"name": "a", "nats_per_image": {"bicubic": 1, "samples": [2, 3]}}]
    (folder / "nats.json").write_text(json.dumps(report))
    assert [i.name for i in inputs.read_inputs(folder, HPARAMS)] == ["a", "b_1"]
    (folder / "nats.json").write_text("[3]")
    assert len(inputs.read_inputs(folder, HPARAMS)) == 5


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["what?.png", "what:.png"], ["what%3F", "what%3A"]),
        (["50%.png", "50%25.png"], ["50%", "50%2525"]),
        (["A.png", "a.jpg"], ["A", "a-2"]),
        (["\u00fc.png", "u\u0308.png"], ["\u00fc", "u\u0308-2"]),
        (["caf\udce9.png"], ["caf%E9"]),
        (["a\nb.png"], ["a%0Ab"]),
    ],
)
def test_names_that_some_file_system_forbids(names, labels):
    assert inputs._labels(names) == labels


def test_long_names_are_cut_and_stay_distinct(tmp_path):
    names = ["\u00fc" * 120 + end + ".png" for end in ("a", "b")]
    labels = inputs._labels(names)
    assert len(set(labels)) == 2
    for label in labels:
        assert len(f".partial-{label}_1000000.png".encode()) <= 255
        assert label.startswith("\u00fc\u00fc")
