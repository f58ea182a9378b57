"""Pictures, encoded, and data sets, for the tests."""

import io

import numpy as np
from PIL import Image

from prsr.data import image_sets, letters, sources


def picture(seed=0, size=(40, 48)):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def shows(sheet, picture):
    """Whether a sheet of pictures shows one, its pixels repeated to 128x128."""
    times = 128 // len(picture)
    large = picture.repeat(times, 0).repeat(times, 1)
    corners = (sheet[:-127, :-127] == large[0, 0]) & (sheet[127:, 127:] == large[-1, -1])
    places = np.argwhere(corners.all(-1))
    return any(np.array_equal(sheet[y : y + 128, x : x + 128], large) for y, x in places)


def letter(index, kind="JPEG"):
    """A drawn letter as a file."""
    return encoded(letters.render(index), kind)


def opened(data, channels=3):
    """The source of a `DataHparams`."""
    return sources.open_source(data.dataset, data.split, channels)


def load(data, split="train", **options):
    """A split of the images of a `DataHparams`, in colour."""
    return image_sets.load(opened(data), data, split, **options)
