"""Decodes image files and PIL images to uint8 arrays, safely and the right way up."""

import contextlib
import ctypes
import io
import math
import os
import threading

import numpy as np
from PIL import Image, ImageCms, JpegImagePlugin, UnidentifiedImageError

from prsr.data import listing
from prsr.system.errors import first_line

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")  # for some others, Pillow runs external programs
_FILE_FORMATS = (*FORMATS, "TIFF", *(["AVIF"] if ".avif" in listing.EXTENSIONS else []))
_PNG = b"\x89PNG\r\n\x1a\n"
# The chunks of a PNG that determine its pixels and its orientation.
_PNG_CHUNKS = b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"iTXtXML:com.adobe.xmp\0\0"
MAX_PIXELS = 2**26  # 67 million
_MAX_JPEG_PIXELS = 2**28  # 268 million, reduced during decoding
_LARGE = 2**24  # pixels, for each of which Pillow uses up to 20 bytes
_large_images = threading.Lock()  # decoded one at a time
_libtiff = threading.Lock()
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MODES = {1: "L", 3: "RGB"}


def decode(file, channels):
    """Decodes one image file, or the first frame of an animation.

    A JPEG of more than 67 million pixels is reduced to a quarter of its width and height during
    decoding; one of more than 268 million pixels is rejected. All threads together decode one image
    of more than 17 million pixels at a time, which takes at most 3 GB.

    Args:
        file: path or binary file of a JPEG, PNG, WebP, BMP, GIF, TIFF (its first page), AVIF or
            HEIC, which needs the package pillow-heif.
        channels: 1 for grey, 3 for RGB.

    Returns:
        uint8 array `[height, width, channels]`, oriented by its EXIF, transparent parts on white.

    Raises:
        ValueError: the file is not an image, is broken or truncated, or is too large.
    """
    with _opened_image(file) as image:
        return _decode_upright(image, channels)


def decode_with_alpha(file, channels):
    """Like `decode`, but also returns the opacity, `[height, width]` uint8: 255 is opaque."""
    with _opened_image(file) as image:
        array = _decode_upright(image, channels)
        alpha = _decode_8_bits(image).convert("RGBA").getchannel("A")
        return array, np.asarray(_turn_by_exif(alpha, _exif_orientation(image)))


def from_pil(image, channels):
    """Converts a PIL image to the array that `decode` returns, with the same errors."""
    with _decoding_errors():
        return _decode_upright(image, channels)


@contextlib.contextmanager
def _opened_image(file):
    """Opens an image file, and waits for the memory that its pixels may need."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_decoding_errors())
        if not hasattr(file, "read"):
            file = stack.enter_context(open(file, "rb"))
        image = stack.enter_context(_open_image(file))
        width, height = image.size
        size = width * height
        is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
        if is_jpeg and MAX_PIXELS < size <= _MAX_JPEG_PIXELS:
            if _stream_length(image.fp) < size // 512:  # each 8x8 block takes at least one bit
                raise ValueError(f"truncated: some of its {width}x{height} pixels are missing")
            image.draft(None, (width // 4, height // 4))
        if math.prod(image.size) > MAX_PIXELS:
            raise ValueError(f"it has too many pixels ({width}x{height})")
        # A progressive JPEG takes 6 bytes for each pixel, however much it is reduced.
        if math.prod(image.size) > _LARGE or "progressive" in image.info and size > _LARGE:
            stack.enter_context(_large_images)
        if image.format == "TIFF":
            stack.enter_context(_quiet_libtiff())
        _scale_transparency(image)
        yield image


def _open_image(file):
    file.seek(0)
    head = file.read(64)
    file.seek(0)
    if head.startswith(_PNG):
        file = _without_metadata(file)
    elif head[4:8] == b"ftyp" and b"avi" not in head:
        try:
            from pillow_heif import HeifImageFile  # an extra
        except ImportError as error:
            raise ValueError(f"HEIC needs {error.name}: pip install pillow-heif") from error
        return HeifImageFile(file)
    try:  # not by Image.open, which takes the photographs of some phones for attacks
        return JpegImagePlugin.JpegImageFile(file)
    except SyntaxError:  # another format
        file.seek(0)
    try:
        return Image.open(file, formats=_FILE_FORMATS)
    except UnidentifiedImageError:  # whose message names a Python object
        raise ValueError("unknown format, or a damaged header") from None


def _without_metadata(file):
    """Returns a PNG without texts, profiles and such, which Pillow rejects if large."""
    kept, place, end = io.BytesIO(), len(_PNG), _stream_length(file)
    kept.write(_PNG)
    while place < end:
        file.seek(place)
        head = file.read(30)
        length = int.from_bytes(head[:4]) + 12
        if head[4:].startswith(_PNG_CHUNKS):
            file.seek(place)
            kept.write(file.read(min(length, end - place)))
        place += length
    kept.seek(0)
    return kept


@contextlib.contextmanager
def _quiet_libtiff():
    """Keeps libtiff from printing, too, the errors that Pillow raises."""
    handler = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    try:
        set_handler = handler(("TIFFSetErrorHandler", ctypes.CDLL(Image.core.__file__)))
    except AttributeError:  # not exported in every build
        yield
        return
    with _libtiff:
        before = set_handler(None)
        try:
            yield
        finally:
            set_handler(before)


def _stream_length(file):
    """Returns the size of a file in bytes, without moving its position."""
    place = file.tell()
    length = file.seek(0, os.SEEK_END)
    file.seek(place)
    return length


def _scale_transparency(image):
    """Scales the transparent colour of a PNG as Pillow scales its pixels."""
    colour, raw = image.info.get("transparency"), image.tile and image.tile[0][3]
    if colour is not None and raw in ("L;2", "L;4"):
        image.info["transparency"] = colour * {"L;2": 85, "L;4": 17}[raw]
    elif colour is not None and raw == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _decode_upright(image, channels):
    image.load()
    orientation = _exif_orientation(image)  # after Pillow, which turns TIFFs while it loads them
    image = _decode_8_bits(image)
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return to_channels(_turn_by_exif(image, orientation), channels)


def _exif_orientation(image):
    """Returns the EXIF orientation, even if the rest of the EXIF is broken; else None."""
    with contextlib.suppress(Exception):
        return image.getexif().get(_ORIENTATION)


def _turn_by_exif(image, orientation):
    """Rotates or flips an image by its EXIF orientation, if valid."""
    if isinstance(orientation, int) and orientation in _UPRIGHT:
        return image.transpose(_UPRIGHT[orientation])
    return image


@contextlib.contextmanager
def _decoding_errors():
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on broken files
        raise ValueError(f"not a readable image: {first_line(error)}") from error


def to_channels(image, channels):
    """Converts a PIL image to a uint8 array `[height, width, channels]`.

    Modes with more than 8 bits have these ranges: `I;16` 0..65535; `I` 0..255, or 0..65535 if a
    value exceeds 255; `F` 0..1, or 0..255 if a value exceeds 1.

    Raises:
        ValueError: values of such a mode are out of range.
    """
    array = np.asarray(_decode_8_bits(image).convert(_MODES[channels]))
    return array.reshape(*array.shape[:2], channels)


def _decode_8_bits(image):
    """Converts modes that Pillow cannot convert to RGB, or would clip."""
    if image.mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if image.mode[0] not in "IF":
        return image
    values = np.asarray(image)
    least, most = values.min(), values.max()
    ends = {"I": (255, 65535), "F": (1, 255)}.get(image.mode, (65535,))
    end = next((end for end in ends if least >= 0 and most <= end), None)
    if end is None:  # also if a value is NaN
        raise ValueError(f"values range from {least} to {most}, not from 0 to {ends[-1]}")
    if end == 65535:
        grey = values // 257
    elif image.mode == "F":
        grey = np.round(values * (255 / end))
    else:
        grey = values
    result = Image.fromarray(grey.astype(np.uint8))
    if "transparency" in image.info:
        opaque = np.where(values == image.info["transparency"], 0, 255).astype(np.uint8)
        result.putalpha(Image.fromarray(opaque))
    return result
