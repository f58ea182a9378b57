import dataclasses

import numpy as np
import pytest
from PIL import Image

from prsr import images
from prsr.data import inputs
from prsr.hparams import DataHparams, Hparams

HPARAMS = Hparams(data=DataHparams(crop="celeba"))


def read(tmp_path, size, hparams=HPARAMS):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (image,) = inputs.read_inputs(tmp_path / "a.png", hparams)
    return pixels, image


def test_a_true_input_is_taken_as_it_is(tmp_path, capsys):
    pixels, image = read(tmp_path, (8, 8))
    np.testing.assert_array_equal(image.low_res, pixels)
    assert image.high_res is None and "taken as it is" in capsys.readouterr().out


def test_an_aligned_image_is_reduced_as_in_training(tmp_path, capsys):
    pixels, image = read(tmp_path, (178, 218))
    expected = images.resize(pixels[40:178, 20:158], (32, 32))
    np.testing.assert_array_equal(image.high_res, expected)
    np.testing.assert_array_equal(image.low_res, images.downsample(np.asarray(expected), 4))
    assert "celeba crop to 138x138" in capsys.readouterr().out


def test_a_picture_of_another_shape_is_cut_at_its_center(tmp_path, capsys):
    pixels, image = read(tmp_path, (50, 40))
    np.testing.assert_array_equal(image.high_res, images.resize(pixels[:, 5:45], (32, 32)))
    assert "center crop to 40x40 (which should be the face alone; alignment finds it)" in (
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
