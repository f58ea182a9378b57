"""How an image becomes a pair: crop, stored form, corners, input; and a user's image."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from prsr import images
from prsr.data import inputs, pipeline, preprocessing
from prsr.hparams import DataHparams, Hparams
from prsr.system.errors import UserError
from tests.data.pictures import load

CORNERS = DataHparams(dataset="drawn:40", image_size=16, pairs="corners", levels=4)
CELEBA = Hparams(data=DataHparams(crop="celeba"))


def noise(*shape):
    return np.random.default_rng(0).integers(1, 256, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "kind", "part"),
    [
        ((20, 30), "center", np.s_[:, 5:25]),
        ((28, 28), "mnist", np.s_[2:26, 2:26]),
        ((218, 178), "celeba", np.s_[40:178, 20:158]),  # Tensor2Tensor's
        ((109, 89), "celeba", np.s_[20:89, 10:79]),
    ],
)
def test_each_crop_keeps_its_part(shape, kind, part):
    image = noise(*shape, 3)
    np.testing.assert_array_equal(preprocessing.crop(image, kind), image[part])


@pytest.mark.parametrize("shape", [(178, 218), (218, 218), (400, 300)])
def test_the_celeba_crop_refuses_other_shapes(shape):
    with pytest.raises(UserError, match="178x218"):
        preprocessing.crop(noise(*shape, 3), "celeba")


def test_pairs_of_corners():
    """The input shows the digit in the middle, the target in the upper left or upper right."""
    digits, in_second_corner = noise(3, 8, 8, 1), np.array([False, True, True])
    low_res, high_res = map(np.array, preprocessing.pairs(digits, in_second_corner, CORNERS, 1))
    np.testing.assert_array_equal(low_res[:, 4:12, 4:12], digits)
    np.testing.assert_array_equal(high_res[0, :8, :8], digits[0])
    np.testing.assert_array_equal(high_res[1:, :8, 8:], digits[1:])
    for canvas in (low_res, high_res):
        assert canvas.shape == (3, 16, 16, 1)
        assert np.count_nonzero(canvas) == np.count_nonzero(digits)
    low_res, _ = preprocessing.pairs(digits, in_second_corner, CORNERS, 2)
    assert low_res.shape == (3, 8, 8, 1)


@pytest.fixture(scope="module")
def letters():
    return load(CORNERS)


def test_corners_are_equally_frequent_in_training_and_alternate_in_evaluation(letters):
    pairs = pipeline.training_pairs(letters, CORNERS, 1, 64, seed=1)
    seen = np.concatenate([high.numpy() for _, high in pairs.take(20)])
    right, left = (seen[:, :8, part].any(axis=(1, 2, 3)) for part in (np.s_[8:], np.s_[:8]))
    assert np.all(left != right)
    assert abs(right.mean() - 0.5) < 0.05  # of 1,280: 3.6 standard errors
    low_res, high_res = pipeline.evaluation_arrays(letters, CORNERS, 1)
    right = high_res[:, :8, 8:].any(axis=(1, 2, 3))
    assert right.tolist() == [i % 2 == 1 for i in range(len(right))]
    np.testing.assert_array_equal(low_res[:, 4:12, 4:12], letters.images)


def test_images_are_quantised_to_the_given_levels(letters):
    assert letters.images.shape[1:] == (8, 8, 3)
    assert set(np.unique(letters.images)) == {0, 85, 170, 255}
    every = preprocessing.stored(noise(20, 20, 3), dataclasses.replace(CORNERS, levels=256))
    assert every.shape == (8, 8, 3) and len(np.unique(every)) > 50


def read(tmp_path, size, hparams=CELEBA):
    """Random pixels of a size (width, height), and their `Input`."""
    pixels = noise(*size[::-1], 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (image,) = inputs.read_inputs(tmp_path / "a.png", hparams)
    return pixels, image


def test_an_image_of_the_input_s_size_is_used_as_is(tmp_path, capsys):
    pixels, image = read(tmp_path, (8, 8))
    np.testing.assert_array_equal(image.low_res, pixels)
    assert image.high_res is None and capsys.readouterr().out == "a: used as is, 8x8\n"


def test_an_aligned_image_is_reduced_as_in_training(tmp_path, capsys):
    pixels, image = read(tmp_path, (178, 218))
    expected = np.asarray(images.resize(pixels[40:178, 20:158], (32, 32)))
    np.testing.assert_array_equal(image.high_res, expected)
    np.testing.assert_array_equal(image.low_res, images.downsample(expected, 4))
    assert "celeba crop to 138x138" in capsys.readouterr().out


def test_an_image_of_another_shape_is_cropped_at_its_center(tmp_path, capsys):
    pixels, image = read(tmp_path, (50, 40))
    np.testing.assert_array_equal(image.high_res, images.resize(pixels[:, 5:45], (32, 32)))
    assert "center crop to 40x40 (should show only the face" in capsys.readouterr().out


def test_an_image_between_the_two_sizes_has_no_original(tmp_path):
    pixels, image = read(tmp_path, (20, 20))
    np.testing.assert_array_equal(image.low_res, images.resize(pixels, (8, 8)))
    assert image.high_res is None
    with pytest.raises(UserError, match="7x7 .*8x8"):
        read(tmp_path, (7, 7))


def test_grey_models_get_grey_images(tmp_path):
    model = dataclasses.replace(CELEBA.model, channels=1, scale=2)
    _, image = read(tmp_path, (28, 28), Hparams(model, DataHparams(image_size=28)))
    assert image.low_res.shape == (14, 14, 1)


def test_a_digit_of_any_size_becomes_a_canvas(tmp_path):
    """Models of corners take canvases, so no image is used as is."""
    for side in (4, 8, 28):
        _, image = read(tmp_path, (side, side), Hparams(data=CORNERS))
        assert image.low_res.shape == (4, 4, 3) and image.high_res.shape == (16, 16, 3)
        assert not image.low_res[0].any() and image.high_res[:8, :8].any()
