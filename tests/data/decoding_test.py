"""Encoded images to arrays."""

import io
import struct
import sys
import threading
import time
import zlib
from concurrent import futures

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from prsr.data import decoding
from tests.data.pictures import encoded, picture


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_supported_format_is_decoded(kind):
    array = decoding.decode(io.BytesIO(encoded(picture(), kind)), 3)
    assert array.shape == (48, 40, 3) and array.dtype == np.uint8
    assert np.abs(array.astype(int) - np.asarray(picture())).mean() < 12


def test_channels_are_rgb_and_grey_is_luma():
    red = encoded(Image.new("RGB", (4, 4), (200, 0, 0)), "PNG")
    assert decoding.decode(io.BytesIO(red), 3)[0, 0].tolist() == [200, 0, 0]
    assert decoding.decode(io.BytesIO(red), 1)[0, 0].tolist() == [60]  # 0.299 * 200


def test_transparent_pixels_become_white():
    clear = encoded(Image.new("RGBA", (4, 4), (10, 20, 30, 0)), "PNG")
    assert (decoding.decode(io.BytesIO(clear), 3) == 255).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5])
def test_truncated_files_are_refused(kind, keep):
    content = encoded(picture(size=(200, 200)), kind)
    with pytest.raises(ValueError, match="not a readable image"):
        decoding.decode(io.BytesIO(content[: int(len(content) * keep)]), 3)


@pytest.mark.parametrize("kind", ["PPM", "EPS", "ICO"])
def test_undocumented_formats_are_refused(kind):
    """Pillow would start other programs for some of them."""
    with pytest.raises(ValueError, match="not a readable image"):
        decoding.decode(io.BytesIO(encoded(picture(size=(32, 32)), kind)), 3)


def with_exif(entries, orientation=6):
    """A JPEG whose EXIF has an orientation, and after it some raw entries of 12 bytes."""
    all_entries = [struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0), *entries]
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", len(all_entries)) + b"".join(all_entries)
    return encoded(picture(size=(60, 40)), "JPEG", exif=b"Exif\0\0" + tiff + bytes(4))


@pytest.mark.filterwarnings("ignore")  # Pillow tells of broken tags
@pytest.mark.parametrize(
    "entry",
    [
        struct.pack("<HHII", 0x011A, 5, 1, 8),  # a fraction without a denominator
        struct.pack("<HHII", 0x0110, 2, 9000, 70000),  # a text beyond the end
    ],
)
def test_broken_exif_tags_are_ignored(entry):
    content = with_exif([entry])
    assert decoding.decode(io.BytesIO(content), 3).shape == (60, 40, 3)
    with Image.open(io.BytesIO(content)) as image:
        assert decoding.from_pil(image, 3).shape == (60, 40, 3)


@pytest.mark.parametrize("orientation", range(10))
def test_every_exif_orientation_is_applied(orientation):
    content = with_exif([], orientation)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image) if 0 < orientation < 9 else image)
        others = [encoded(image, kind, exif=image.getexif()) for kind in ("TIFF", "PNG")]
    for file in (content, *others):
        np.testing.assert_array_equal(decoding.decode(io.BytesIO(file), 3), expected)


def test_the_first_page_of_a_16_bit_tiff_is_read():
    page = Image.fromarray(np.array([[0, 257, 65535]], np.uint16))
    content = encoded(page, "TIFF", save_all=True, append_images=[picture()])
    assert decoding.decode(io.BytesIO(content), 1)[0, :, 0].tolist() == [0, 1, 255]


def test_heic_is_read_upright_where_pillow_heif_is_installed(monkeypatch):
    """Without it, the error names it. Pillow itself learns no format."""
    heif = pytest.importorskip("pillow_heif")
    content, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    heif.from_pillow(picture(size=(60, 40))).save(content, exif=exif.tobytes())
    assert decoding.decode(content, 3).shape == (60, 40, 3)
    assert "HEIF" not in Image.OPEN
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    content.seek(0)
    with pytest.raises(ValueError, match="pip install pillow-heif"):
        decoding.decode(content, 3)


def of_mode(mode):
    """The colour (200, 100, 50), or a grey of 124, in each of Pillow's modes."""
    colour = Image.new("RGB", (4, 4), (200, 100, 50))
    grey = colour.convert("L")
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(colour, *profiles, outputMode="LAB")
    if mode.startswith("I;16"):
        image = Image.new(mode, (4, 4))
        image.putdata([124 * 257] * 16)
        return image
    by_way_of = {"La": "LA", "PA": "P", "RGBa": "RGBA"}
    if mode in by_way_of:
        return colour.convert(by_way_of[mode]).convert(mode)
    return grey.convert(mode) if mode in ("I", "F") else colour.convert(mode)


@pytest.mark.parametrize(
    "mode",
    "1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV I I;16 I;16B I;16L F".split(),  # noqa: SIM905
)
def test_every_pillow_mode_is_converted(mode):
    image = of_mode(mode)
    near = {"1": 255, "P": 5, "PA": 5}.get(mode, 1)
    is_grey = mode[0] in "LI1F" and mode != "LAB"
    colour = decoding.from_pil(image, 3)[0, 0].astype(int)
    assert np.abs(colour - (124 if is_grey else (200, 100, 50))).max() <= near
    assert abs(int(decoding.from_pil(image, 1)[0, 0, 0]) - 124) <= near
    assert colour.tolist() in ([0] * 3, [255] * 3) if mode == "1" else colour.min() > 40


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("I", [0, 7, 255], [0, 7, 255]),
        ("I", [0, 257, 65535], [0, 1, 255]),
        ("F", [0.0, 100.4, 255.0], [0, 100, 255]),
        ("F", [0.0, 0.5, 1.0], [0, 128, 255]),
        ("I;16", [0, 255, 65535], [0, 0, 255]),
    ],
)
def test_values_beyond_eight_bits_are_scaled(mode, values, expected):
    image = Image.new(mode, (3, 1))
    image.putdata(values)
    assert decoding.from_pil(image, 1)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("mode", "value"), [("I", -1), ("I", 70000), ("F", 1e9), ("F", float("nan")), ("F", -0.5)]
)
def test_values_out_of_range_are_refused(mode, value):
    image = Image.new(mode, (2, 2), 9)
    image.putpixel((0, 0), value)
    with pytest.raises(ValueError, match="not from 0 to"):
        decoding.from_pil(image, 3)


def chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


@pytest.mark.parametrize(
    "metadata",
    [
        chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2**24))),
        chunk(b"gAMA", b""),
        chunk(b"tEXt", b"")[:-4] + b"none",  # a wrong checksum
    ],
)
def test_metadata_of_a_png_do_not_matter(metadata):
    content = encoded(picture(), "PNG")
    for place in (33, len(content) - 12):  # after the header, and at the end
        changed = io.BytesIO(content[:place] + metadata + content[place:])
        np.testing.assert_array_equal(decoding.decode(changed, 3), picture())


def test_the_orientation_of_a_png_in_its_xmp():
    text = chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<rdf:Description tiff:Orientation="6"/>')
    content = encoded(picture(size=(60, 40)), "PNG")
    content = content[:33] + text + content[33:]
    assert decoding.decode(io.BytesIO(content), 3).shape == (60, 40, 3)


def png(color_type, bits, rows, transparent):
    """A PNG of raw rows, with a transparent colour: Pillow cannot write every kind."""
    width = len(rows[0]) * 8 // bits // {0: 1, 2: 3}[color_type]
    header = struct.pack(">2I5B", width, len(rows), bits, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), (b"tRNS", transparent), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    ("color_type", "bits", "row", "transparent", "expected"),
    [
        (0, 16, struct.pack(">4H", 0, 257 * 9, 40000, 65535), struct.pack(">H", 0), [255, 9, 155]),
        (0, 8, bytes([0, 9, 155, 3]), struct.pack(">H", 0), [255, 9, 155]),
        (0, 4, bytes([0x12, 0x3F]), struct.pack(">H", 1), [255, 34, 51]),
        (0, 2, bytes([0b01001011]), struct.pack(">H", 1), [255, 0, 170]),
        (0, 1, bytes([0b10100000]), struct.pack(">H", 0), [255, 255, 255]),
        (2, 16, struct.pack(">6H", *[5] * 3, *[2570] * 3), struct.pack(">3H", 5, 5, 5), [255, 10]),
        (2, 8, bytes([5, 5, 5, 10, 10, 10]), struct.pack(">3H", 5, 5, 5), [255, 10]),
    ],
)
def test_a_transparent_colour_becomes_white(color_type, bits, row, transparent, expected):
    content = png(color_type, bits, [row], transparent)
    array = decoding.decode(io.BytesIO(content), 3)
    assert array[0, : len(expected), 0].tolist() == expected
    same, alpha = decoding.decode_with_alpha(io.BytesIO(content), 3)
    np.testing.assert_array_equal(same, array)
    assert (alpha == 0).any() and (array[alpha == 0] == 255).all()


def test_a_200_megapixel_jpeg_is_decoded_at_a_reduced_size(recwarn):
    """Pillow alone would reject so many pixels as an attack."""
    width, height = 16320, 12240
    image = Image.new("L", (width, height), 40)
    image.paste(200, (0, 0, width // 2, height))
    array = decoding.decode(io.BytesIO(encoded(image, "JPEG")), 1)
    assert array.shape == (height // 4, width // 4, 1)
    assert abs(int(array[9, 9, 0]) - 200) < 3 and abs(int(array[9, -9, 0]) - 40) < 3
    assert not recwarn.list


def test_large_images_are_decoded_one_at_a_time(monkeypatch):
    """Large images are decoded one by one, small ones in parallel."""
    small = threading.Barrier(2, timeout=20)
    large = threading.Lock()
    upright = decoding._decode_upright

    def meet(image, channels):
        if image.width == 4:
            small.wait()
        else:
            assert large.acquire(blocking=False)
            time.sleep(0.05)
            large.release()
        return upright(image, channels)

    monkeypatch.setattr(decoding, "_decode_upright", meet)
    monkeypatch.setattr(decoding, "_LARGE", 500)
    contents = [encoded(Image.new("L", (side, side)), "PNG") for side in (40, 4, 4, 40)]
    with futures.ThreadPoolExecutor(4) as threads:
        shapes = threads.map(lambda c: decoding.decode(io.BytesIO(c), 1).shape[0], contents)
        assert list(shapes) == [40, 4, 4, 40]
