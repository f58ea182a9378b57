"""Projects images onto those that downsample to a given input.

Downsampling is linear, x = R y R^T for each channel, where R `[low, high]` holds the weights of
the high-resolution pixels in each low-resolution one. The nearest image to y that downsamples to x
is then

    y + R+ (x - R y R^T) R+^T,    R+ = R^T (R R^T)^-1

(Sønderby et al. 2016 built such a projection into their networks). Pixels are integers in 0..255,
so projecting and clipping alternate, and rounding comes last.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from keras import ops

_ROUNDS = 3  # of projecting and clipping
_RIDGE = 0.2  # relative to the squared weights of a low-resolution pixel in the remaining rows


def _cubic(distance):
    """The kernel of bicubic interpolation (Keys 1981, a = -0.5)."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@functools.cache
def reduction_matrix(size, scale, method="antialiased"):
    """Returns R, the weights that make each low-resolution pixel of a row or column.

    Args:
        size: side of the high-resolution image in pixels.
        scale: the upscaling factor; divides `size`.
        method: one of `prsr.hparams.DOWNSAMPLING`.

    Returns:
        `[size / scale, size]` float64 array whose rows sum to one. It equals
        `prsr.images.downsample` before rounding.
    """
    low = size // scale
    if method == "tf1_bicubic":
        return np.eye(size)[::scale]
    centers = (np.arange(low) + 0.5) * scale - 0.5
    weights = _cubic((np.arange(size) - centers[:, None]) / scale)
    return weights / weights.sum(axis=1, keepdims=True)


@functools.cache
def _inverse(size, scale, method):
    """Returns R+, `[size, size / scale]`."""
    matrix = reduction_matrix(size, scale, method)
    return matrix.T @ np.linalg.inv(matrix @ matrix.T)


def match(high_res, low_res, method="antialiased", given=None, rounds=_ROUNDS):
    """Changes images as little as possible so that they downsample to their inputs.

    Args:
        high_res: `[batch, size, size, channels]`, 0..255, any dtype.
        low_res: `[batch, size / scale, size / scale, channels]`, 0..255, any dtype.
        method: how inputs are made, one of `prsr.hparams.DOWNSAMPLING`.
        given: `[batch, size, size, channels]`, values to keep, 0..255, and -1 elsewhere; or None.
            The other pixels make up the difference as far as they can.
        rounds: how often to project and clip.

    Returns:
        uint8 tensor like `high_res`. Downsampled again, photographs and samples differ from their
        inputs by 0.3 of 255 on average, which is rounding. More remains where a part of an image
        would have to be brighter than white or darker than black.
    """
    size, scale = high_res.shape[1], high_res.shape[1] // low_res.shape[1]
    matrix = ops.convert_to_tensor(reduction_matrix(size, scale, method), "float32")
    inverse = ops.convert_to_tensor(_inverse(size, scale, method), "float32")
    image, goal = ops.cast(high_res, "float32"), ops.cast(low_res, "float32")
    kept = None if given is None else ops.cast(given, "float32")
    for _ in range(rounds):
        missing = goal - ops.einsum("rh,bhwc,sw->brsc", matrix, image, matrix)
        image = ops.clip(image + ops.einsum("hr,brsc,ws->bhwc", inverse, missing, inverse), 0, 255)
        if kept is not None:
            image = ops.where(kept >= 0, kept, image)
    return ops.cast(ops.round(image), "uint8")


class RowPlan(NamedTuple):
    """Precomputed float32 tensors for matching images to their inputs row by row.

    While an image is drawn, we assume that its remaining rows are those of the smallest (minimum
    norm) image that downsamples to the input. The error that the drawn rows leave is spread over
    the remaining rows with the least change. Each row takes its share right after it is drawn,
    before anything is computed from it.
    """

    reduce: Any  # R, [low, size]
    inverse: Any  # R+, [size, low]
    shares: Any  # [size, low]: a row's share of the error of each low-resolution row
    to_come: Any  # [batch, size, low, channels]: the smallest image, downsampled along columns


@functools.cache
def _shares(size, scale, method):
    """Returns the first row of R_k^T (R_k R_k^T + ridge)^-1 for each k, where R_k is R[:, k:]."""
    matrix = reduction_matrix(size, scale, method)
    ridge = _RIDGE * np.square(matrix).sum(axis=1).max() * np.eye(len(matrix))
    to_come = [matrix[:, row:] for row in range(size)]
    return np.stack([np.linalg.solve(r @ r.T + ridge, r[:, 0]) for r in to_come])


def row_plan(low_res, scale, method="antialiased"):
    """Returns the `RowPlan` of a batch of inputs.

    Args:
        low_res: `[batch, low, low, channels]`, 0..255, any dtype.
        scale: the upscaling factor.
        method: how inputs are made, one of `prsr.hparams.DOWNSAMPLING`.
    """
    size = low_res.shape[1] * scale
    reduce, inverse, shares = (
        ops.convert_to_tensor(matrix(size, scale, method), "float32")
        for matrix in (reduction_matrix, _inverse, _shares)
    )
    to_come = ops.einsum("hr,brsc->bhsc", inverse, ops.cast(low_res, "float32"))
    return RowPlan(reduce, inverse, shares, to_come)


def match_row(plan, row, missing, pixels, kept=None):
    """Moves a row that was just drawn towards its input.

    Args:
        plan: a `RowPlan`.
        row: scalar int32, the index of the row.
        missing: `[batch, low, low, channels]` float32: the input minus the downsampled rows, those
            above and the assumed remaining ones; zeros before the first row.
        pixels: `[batch, width, channels]` int32, 0..255.
        kept: `[batch, width, channels]` bool, the values that must not change, or None.

    Returns:
        `(pixels, missing)`: the adjusted row, and what is missing after it.
    """
    weights, share = ops.take(plan.reduce, row, axis=1), ops.take(plan.shares, row, axis=0)
    to_come = ops.take(plan.to_come, row, axis=1)

    def after(pixels):
        reduced = ops.einsum("bwc,sw->bsc", pixels, plan.reduce)
        return missing - weights[None, :, None, None] * (reduced - to_come)[:, None]

    pixels = ops.cast(pixels, "float32")
    change = ops.einsum("r,brsc->bsc", share, after(pixels))
    moved = ops.clip(ops.round(pixels + ops.einsum("bsc,ws->bwc", change, plan.inverse)), 0, 255)
    if kept is not None:
        moved = ops.where(kept, pixels, moved)
    return ops.cast(moved, "int32"), after(moved)
