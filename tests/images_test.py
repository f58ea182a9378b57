import numpy as np
from PIL import Image

from prsr import images


def photo(height=40, width=40, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_network_inputs_and_quantised_values():
    np.testing.assert_allclose(images.to_network(np.array([0, 255]), "float32"), [-0.5, 0.5])
    assert np.asarray(images.quantize(np.array([-4.5, 0.6, 266.0]))).tolist() == [0, 1, 255]


def test_resize_is_pillows_bicubic():
    image = photo()[..., 0].astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC))
    actual = np.asarray(images.resize(image[..., None], (32, 32)))[..., 0]
    np.testing.assert_allclose(actual, np.clip(expected, 0, 255), atol=0.51)


def test_downsampling_of_an_image_and_of_a_batch():
    high_res = photo(32, 32)
    low_res = np.asarray(images.downsample(high_res, 4))
    assert low_res.shape == (8, 8, 3) and low_res.dtype == np.uint8
    batch = np.asarray(images.downsample(np.stack([high_res, high_res]), 4))
    np.testing.assert_array_equal(batch, [low_res, low_res])


def test_tensorflow_1_took_every_fourth_pixel():
    import tensorflow as tf

    high_res = photo(32, 32)
    original = tf.compat.v1.image.resize_bicubic(high_res[None].astype("float32"), (8, 8))
    np.testing.assert_array_equal(images.downsample(high_res, 4, "tf1_bicubic"), original[0])


def test_colour_and_grey_images_are_saved_unchanged(tmp_path):
    for picture, mode in ((photo(), "RGB"), (photo(channels=1), "L")):
        images.save(images.to_pil(picture), tmp_path / "new" / "a.png")
        assert (saved := Image.open(tmp_path / "new" / "a.png")).mode == mode
        np.testing.assert_array_equal(np.asarray(saved).reshape(picture.shape), picture)
