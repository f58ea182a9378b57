"""Converts value ranges, crops, resizes and writes images.

Images are uint8, 0..255, wherever they are stored, scored or drawn. Networks take [-0.5, 0.5],
which only this module computes, from the quantised values.
"""

from keras import ops
from PIL import Image, PngImagePlugin

from prsr.system import files
from prsr.system.errors import UserError

SOFTWARE = "prsr"  # marks PNGs written by this program

# The face in an aligned CelebA image, 178x218, as (top, bottom, left, right): the
# 138-pixel square that Tensor2Tensor cuts for the same task. Fractions, so that the
# same alignment at another size works.
CELEBA_HEIGHT, CELEBA_WIDTH = 218, 178
CELEBA_BOX = (40, 178, 20, 158)


def to_network(image, dtype):
    """Maps 0..255 to the networks' [-0.5, 0.5].

    Args:
        image: tensor of any numeric dtype, 0..255.
        dtype: floating dtype of the result.

    Returns:
        A tensor of the same shape in [-0.5, 0.5].
    """
    return ops.cast(image, dtype) / 255.0 - 0.5


def quantize(image):
    """Clips and rounds to uint8; clipping is needed because bicubic kernels overshoot.

    Args:
        image: floating tensor, about 0..255.

    Returns:
        uint8 tensor of the same shape.
    """
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
    """Rounds to so many intensities, evenly spaced from 0 to 255.

    Args:
        image: uint8 tensor.
        levels: 2 to 256; 256 changes nothing.

    Returns:
        uint8 tensor of the same shape.
    """
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


def can_crop(height, width, kind):
    """Whether an image of this size has the shape that a crop expects."""
    if kind != "celeba":
        return True
    return abs(height * CELEBA_WIDTH - width * CELEBA_HEIGHT) <= 0.02 * width * CELEBA_HEIGHT


def crop(image, kind):
    """Crops an image to a square.

    Args:
        image: array `[height, width, channels]`.
        kind: `"center"`, the largest centred square; `"mnist"`, the middle 24/28 of it, which is an
            MNIST digit almost without its margin; or `"celeba"`, the face in an image with CelebA's
            alignment.

    Returns:
        A square part of `image`.

    Raises:
        UserError: `kind` is `"celeba"`, but the image does not have the shape of an aligned one.
    """
    height, width = image.shape[:2]
    if kind in ("center", "mnist"):
        side = min(height, width)
        side = side * 24 // 28 if kind == "mnist" else side
        top, left = (height - side) // 2, (width - side) // 2
        return image[top : top + side, left : left + side]
    if not can_crop(height, width, kind):
        raise UserError(
            f"crop=celeba expects aligned CelebA images (178x218, or the same shape in another "
            f"size); got {width}x{height}; use img_align_celeba, or crop=center"
        )
    top, bottom = (round(height * edge / CELEBA_HEIGHT) for edge in CELEBA_BOX[:2])
    left = round(width * CELEBA_BOX[2] / CELEBA_WIDTH)
    return image[top:bottom, left : left + bottom - top]


def to_pil(picture):
    """Converts a uint8 array `[height, width, 1 or 3]` to a PIL image."""
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def save(image, path):
    """Writes a PIL image as PNG, atomically.

    Args:
        image: `PIL.Image`.
        path: `pathlib.Path` of the file; its folder is made.
    """
    with files.replacing(path) as partial:
        note = PngImagePlugin.PngInfo()
        note.add_text("Software", SOFTWARE)
        image.save(partial, format="PNG", pnginfo=note)
