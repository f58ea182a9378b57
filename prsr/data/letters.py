"""Draws coloured letters and digits, the default data set that needs no download."""

import functools
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

DEFAULT_COUNT = 8_000

_GLYPHS = "ABCDEFGHKLMNPRSTUVXYZ23456789"
_FONTS = ("DejaVuSans-Bold.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSansMono-Bold.ttf")
_LEVELS = (32, 224)  # of each channel: 8 colours, which are learned quickly
_SIDE = 128  # drawn large, then downsampled by the pipeline like any other image


@functools.lru_cache
def _letter_font(name, size):
    import matplotlib  # for its fonts alone

    folder = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf")
    return ImageFont.truetype(str(folder / name), size)


def render(index):
    """Draws the image of a number: a glyph on a plain background, a 128x128 `PIL.Image` in RGB."""
    ground, ink, font, size, center, glyph = _choose_letter(index)
    image = Image.new("RGB", (_SIDE, _SIDE), ground)
    ImageDraw.Draw(image).text(
        center, _GLYPHS[glyph], font=_letter_font(font, size), anchor="mm", fill=ink
    )
    return image


def label(index):
    """Returns which of the 29 glyphs the image at `index` shows, 0 to 28."""
    return _choose_letter(index)[-1]


def _choose_letter(index):
    random = np.random.default_rng([2017, index])
    ground, ink = random.choice(_LEVELS, (2, 3))
    while np.array_equal(ground, ink):
        ink = random.choice(_LEVELS, 3)
    font, size = _FONTS[random.integers(len(_FONTS))], int(random.integers(88, 116))
    center = tuple(float(v) for v in _SIDE / 2 + random.uniform(-10, 10, 2))
    glyph = int(random.integers(len(_GLYPHS)))
    return tuple(ground.tolist()), tuple(ink.tolist()), font, size, center, glyph
