"""From the bytes of an image file, or a PIL image, to uint8."""

import contextlib
import math
import pathlib

import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
MOST_PIXELS = 2**26  # 67 million; of each, Pillow may hold 20 bytes at once
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")  # Pillow knows more, and starts programs for some
_MODES = {1: "L", 3: "RGB"}


def decode(file, channels):
    """Decodes one image file, of an animation the first picture.

    Args:
        file: path or binary file of a JPEG, PNG, WebP, BMP or GIF.
        channels: 1 for grey, 3 for RGB.

    Returns:
        uint8 array `[height, width, channels]`, turned upright as its EXIF says, with
        transparent parts on white.

    Raises:
        ValueError: the file is no image, is broken or cut short, or is absurdly large.
    """
    with _readable(), Image.open(file, formats=FORMATS) as image:
        if math.prod(image.size) > MOST_PIXELS:
            raise ValueError("{}x{} pixels are too many".format(*image.size))
        return _upright(image, channels)


def decode_with_alpha(file, channels):
    """As `decode`, and its opacity, `[height, width]` uint8: 255 where nothing shines through."""
    with _readable(), Image.open(file, formats=FORMATS) as image:
        if math.prod(image.size) > MOST_PIXELS:
            raise ValueError("{}x{} pixels are too many".format(*image.size))
        alpha = ImageOps.exif_transpose(image).convert("RGBA").getchannel("A")
        return _upright(image, channels), np.asarray(alpha)


def from_pil(image, channels):
    """A PIL image as `decode` returns it, with the same errors."""
    with _readable():
        return _upright(image, channels)


def _upright(image, channels):
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return to_channels(image, channels)


@contextlib.contextmanager
def _readable():
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's decoders raise what they like on broken files
        raise ValueError(f"not a readable image: {error}") from error


def to_channels(image, channels):
    """A PIL image as a uint8 array `[height, width, channels]`."""
    if image.mode.startswith("I"):  # 16 bits a pixel: Pillow would clip, not scale
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    array = np.asarray(image.convert(_MODES[channels]))
    return array.reshape(*array.shape[:2], channels)


def find_images(folder):
    """The image files below a folder, by extension: sorted relative paths."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in pathlib.Path(folder).rglob("*")
        if is_image(path) and path.is_file()
    )


def is_image(path):
    # macOS leaves ._NAME beside NAME in zips and on foreign disks: no images.
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith("._")
