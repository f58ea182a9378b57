"""Converts value ranges, resizes and writes images.

Images are uint8, 0..255, wherever they are stored, scored or drawn. Networks take [-0.5, 0.5],
which only this module computes, from the quantised values.
"""

from keras import ops
from PIL import Image, PngImagePlugin

from prsr.system import files

SOFTWARE = "prsr"  # marks PNGs written by this program


def to_network(image, dtype):
    """Maps 0..255, of any numeric dtype, to the networks' [-0.5, 0.5], of a floating `dtype`."""
    return ops.cast(image, dtype) / 255.0 - 0.5


def quantize(image):
    """Clips a floating tensor to 0..255, which bicubic kernels overshoot, and rounds to uint8."""
    return ops.cast(ops.clip(ops.round(image), 0, 255), "uint8")


def resize(image, size):
    """Resizes images with antialiased bicubic interpolation, then quantises them.

    Args:
        image: `[height, width, channels]` or `[batch, height, width, channels]`, 0..255.
        size: `(height, width)` of the result.

    Returns:
        uint8 tensor of that size.
    """
    image = ops.cast(image, "float32")
    options = {"interpolation": "bicubic", "antialias": True, "data_format": "channels_last"}
    return quantize(ops.image.resize(image, size, **options))


def reduce_levels(image, levels):
    """Rounds a uint8 tensor to `levels` intensities (2 to 256), evenly spaced from 0 to 255."""
    step = 255.0 / (levels - 1)
    return quantize(ops.round(ops.cast(image, "float32") / step) * step)


def downsample(high_res, scale, method="antialiased"):
    """The low-resolution input, made from the quantised high-resolution image.

    Args:
        high_res: `[..., height, width, channels]` uint8, 3-D or 4-D.
        scale: the upscaling factor; divides height and width.
        method: one of `prsr.hparams.DOWNSAMPLING`.

    Returns:
        `[..., height / scale, width / scale, channels]` uint8.
    """
    if method == "tf1_bicubic":
        # TensorFlow 1 sampled output i at exactly input i * scale, where the bicubic
        # kernel weighs that one pixel alone.
        return high_res[..., ::scale, ::scale, :]
    height, width = high_res.shape[-3:-1]
    return resize(high_res, (height // scale, width // scale))


def upsample_bicubic(low_res, scale):
    """Enlarges images by bicubic interpolation.

    Args:
        low_res: `[..., height, width, channels]`, 0..255, 3-D or 4-D.
        scale: the upscaling factor.

    Returns:
        `[..., height * scale, width * scale, channels]` uint8.
    """
    height, width = low_res.shape[-3:-1]
    return resize(low_res, (height * scale, width * scale))


def to_pil(picture):
    """Converts a uint8 array `[height, width, 1 or 3]` to a PIL image."""
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def save(image, path, **options):
    """Writes a PIL image as the PNG `path`, atomically; its folder is made. `options` are PIL's."""
    with files.replacing(path) as partial:
        note = PngImagePlugin.PngInfo()
        note.add_text("Software", SOFTWARE)
        image.save(partial, format="PNG", pnginfo=note, **options)
