"""How an image becomes a pair of input and target, from top to bottom.

A decoded image is cropped to a square, then resized and quantised: so it is kept in memory or in
records. A pair is made of such stored images: the target and, downsampled from it, the input.

Paper: the canvas of MNIST corners (section 3.2, a task with exactly two right answers), the digit's
size and its place in the input are not stated. Here a digit has half the canvas' height and width.
The input shows it in the middle, the target in the upper left or upper right corner.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from prsr import images
from prsr.data import faces
from prsr.data.faces import CELEBA_BOX, CELEBA_HEIGHT, CELEBA_WIDTH
from prsr.system.errors import UserError


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


def stored_size(data):
    """Returns the side of `stored` images: for corners the digit's, half the image's."""
    return data.image_size // 2 if data.pairs == "corners" else data.image_size


def stored(square, data):
    """Resizes a cropped image, `[side, side, channels]` uint8, and reduces its levels.

    Returns a uint8 tensor `[size, size, channels]`, where `size` is `stored_size(data)`.
    """
    size = stored_size(data)
    return images.reduce_levels(images.resize(square, (size, size)), data.levels)


def pairs(batch, in_second_corner, data, scale):
    """Makes pairs of inputs and targets (`DataHparams.pairs`) from stored images.

    Args:
        batch: `[batch, size, size, channels]` uint8, as from `stored`.
        in_second_corner: `[batch]` bool, for corners only: whether the target shows the digit in
            the upper right corner, not in the upper left.
        data: `prsr.hparams.DataHparams`.
        scale: the upscaling factor; for corners the input shows the digit at `size / scale`.

    Returns:
        `(low_res, high_res)`, uint8 `[batch, image size / scale, image size / scale, channels]` and
        `[batch, image size, image size, channels]`.
    """
    low_res = images.downsample(batch, scale, data.downsampling)
    if data.pairs == "downsampled":
        return low_res, batch
    size, margin = batch.shape[1], low_res.shape[1] // 2
    low_res = tf.pad(low_res, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    first = tf.pad(batch, ((0, 0), (0, size), (0, size), (0, 0)))
    second = tf.pad(batch, ((0, 0), (0, size), (size, 0), (0, 0)))
    return low_res, tf.where(in_second_corner[:, None, None, None], second, first)


@dataclasses.dataclass(frozen=True)
class Input:
    """An image to super-resolve.

    Attributes:
        name: distinct name for output files; empty from `preprocess`.
        low_res: `[low size, low size, channels]` uint8.
        high_res: `[size, size, channels]` uint8, the original; None if the image is too small.
        steps: descriptions of what was done.
    """

    name: str
    low_res: np.ndarray
    high_res: np.ndarray | None
    steps: tuple = ()


def preprocess(image, hparams, find_eyes=None):
    """Makes a model's low-resolution input as in training.

    Args:
        image: `[height, width, channels]` uint8. One of the low-resolution size is used as is
            (except for MNIST corners, whose inputs are not downsampled images).
        hparams: the model's `Hparams`.
        find_eyes: as `prsr.data.faces.detector` returns it, to align larger images by their largest
            face first; None does not align.

    Returns:
        `Input`.

    Raises:
        ValueError: the image is too small, or has no face.
    """
    data, scale = hparams.data, hparams.model.scale
    size, low_size = data.image_size, data.image_size // scale
    has_downsampled_inputs = data.pairs == "downsampled"
    height, width = image.shape[:2]
    if (height, width) == (low_size, low_size) and has_downsampled_inputs:
        step = "used as is, not aligned" if find_eyes else "used as is"
        return Input("", image, None, (f"{step}, {low_size}x{low_size}",))
    if min(height, width) < (smallest := min(low_size, stored_size(data))):
        raise ValueError(f"{width}x{height} is smaller than {smallest}x{smallest}")
    steps = [f"{width}x{height}"]
    if find_eyes:
        count, eyes = find_eyes(image)
        if not count:
            raise ValueError(
                "no frontal face found; if there is one, crop a square yourself (the eyes halfway "
                "down, at a third and two thirds of the width) and do not align it"
            )
        image = faces.align(image, eyes)
        height, width = image.shape[:2]
        face = "the largest face" if count > 1 else "the face"
        steps.append(f"{face} aligned in {width}x{height}")
    # The user's image need not have the shape of the data set's.
    kind = data.crop if can_crop(height, width, data.crop) else "center"
    square = crop(image, kind)
    side = square.shape[0]
    if (side, side) != (height, width):
        hint = "" if kind == data.crop else " (should show only the face; alignment finds it)"
        steps.append(f"{kind} crop to {side}x{side}{hint}")
    if side < size and has_downsampled_inputs:
        low_res, high_res = np.asarray(images.resize(square, (low_size, low_size))), None
    else:
        batch, first_corner = stored(square, data)[None], np.array([False])
        low_res, high_res = (np.asarray(a)[0] for a in pairs(batch, first_corner, data, scale))
        if side != size:
            steps.append(f"reduced to {size}x{size}")
        steps[-1] += " (the original in the grid)"
    return Input("", low_res, high_res, (*steps, f"reduced to {low_size}x{low_size}"))
