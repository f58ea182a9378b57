"""Encoded images to arrays."""

import io

import numpy as np
import pytest
from PIL import Image

from prsr.data import decoding
from tests.data.pictures import encoded, picture


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_decodes(kind):
    array = decoding.decode(io.BytesIO(encoded(picture(), kind)), 3)
    assert array.shape == (48, 40, 3) and array.dtype == np.uint8
    assert np.abs(array.astype(int) - np.asarray(picture())).mean() < 12


def test_channel_order_and_grey():
    red = encoded(Image.new("RGB", (4, 4), (200, 0, 0)), "PNG")
    assert decoding.decode(io.BytesIO(red), 3)[0, 0].tolist() == [200, 0, 0]
    assert decoding.decode(io.BytesIO(red), 1)[0, 0].tolist() == [60]  # 0.299 * 200


def test_exif_turns_it_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    image = encoded(picture(size=(60, 40)), "JPEG", exif=exif)
    assert decoding.decode(io.BytesIO(image), 3).shape == (60, 40, 3)


def test_transparency_lies_on_white():
    clear = encoded(Image.new("RGBA", (4, 4), (10, 20, 30, 0)), "PNG")
    assert (decoding.decode(io.BytesIO(clear), 3) == 255).all()


def test_sixteen_bits_are_scaled():
    deep = encoded(Image.fromarray(np.full((4, 4), 40000, np.uint16)), "PNG")
    assert (decoding.decode(io.BytesIO(deep), 1) == 40000 // 257).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5])
def test_truncated_files_are_refused(kind, keep):
    content = encoded(picture(size=(200, 200)), kind)
    with pytest.raises(ValueError, match="not a readable image"):
        decoding.decode(io.BytesIO(content[: int(len(content) * keep)]), 3)


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "EPS", "ICO"])
def test_formats_that_are_not_documented_are_not_opened(kind):
    """Whatever a file is called: for some Pillow starts other programs."""
    with pytest.raises(ValueError, match="not a readable image"):
        decoding.decode(io.BytesIO(encoded(picture(size=(32, 32)), kind)), 3)
