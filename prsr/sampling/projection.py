"""What an input says about an image is known exactly: the nearest image that reduces to it.

Reduction is linear, x = R y R^T for each channel, where R `[low, high]` holds the weights of the
high-resolution pixels in each low-resolution one. The nearest image to y that reduces to x is then

    y + R+ (x - R y R^T) R+^T,    R+ = R^T (R R^T)^-1

(Sønderby et al. 2016 built such a projection into their networks). Images are whole numbers from 0
to 255, so clipping and projecting take turns, and rounding comes last.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from keras import ops

_ROUNDS = 3  # of projecting and clipping
_RIDGE = 0.2  # against the square of a low-resolution pixel's weights in the rows to come


def _cubic(distance):
    """The kernel of bicubic interpolation (Keys 1981, a = -0.5)."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@functools.cache
def reduction_matrix(size, scale, method="antialiased"):
    """R: how each low-resolution pixel of a row or column is made.

    Args:
        size: pixels of a high-resolution side.
        scale: the upscaling factor; divides `size`.
        method: one of `prsr.hparams.DOWNSAMPLING`.

    Returns:
        `[size / scale, size]` float64 array, whose rows sum to one: `prsr.images.downsample`
        before it rounds.
    """
    low = size // scale
    if method == "tf1_bicubic":
        return np.eye(size)[::scale]
    centers = (np.arange(low) + 0.5) * scale - 0.5
    weights = _cubic((np.arange(size) - centers[:, None]) / scale)
    return weights / weights.sum(axis=1, keepdims=True)


@functools.cache
def _inverse(size, scale, method):
    """R+, `[size, size / scale]`."""
    matrix = reduction_matrix(size, scale, method)
    return matrix.T @ np.linalg.inv(matrix @ matrix.T)


def match(high_res, low_res, method="antialiased", given=None, rounds=_ROUNDS):
    """Changes images as little as need be to reduce to their inputs.

    Args:
        high_res: `[batch, size, size, channels]`, 0..255, any dtype.
        low_res: `[batch, size / scale, size / scale, channels]`, 0..255, any dtype.
        method: how inputs are made, one of `prsr.hparams.DOWNSAMPLING`.
        given: `[batch, size, size, channels]`, 0..255 where a value stays as it is and -1
            elsewhere; or None. What is off then, the other pixels take over as far as they can.
        rounds: how often to project and clip.

    Returns:
        uint8 tensor like `high_res`. Reduced again, photographs and samples are off by 0.3 of
        255 on the mean, which is rounding; where a part of an image would have to be brighter than
        white or darker than black, more remains.
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
    """What matching row by row needs of some inputs, as float32 tensors.

    While an image is drawn, its rows to come are taken to be those of the smallest image that
    reduces to the input. What the drawn rows leave missing is spread over the rows to come, by as
    little change as need be, and each row takes its share when it has been drawn: before
    anything is computed from it.
    """

    reduce: Any  # R, [low, size]
    inverse: Any  # R+, [size, low]
    shares: Any  # [size, low]: what a row takes of what each low-resolution row misses
    to_come: Any  # [batch, size, low, channels]: the smallest image, reduced in columns


@functools.cache
def _shares(size, scale, method):
    """The first row of R_k^T (R_k R_k^T + ridge)^-1 for each row k, R_k being R from there on."""
    matrix = reduction_matrix(size, scale, method)
    ridge = _RIDGE * np.square(matrix).sum(axis=1).max() * np.eye(len(matrix))
    to_come = [matrix[:, row:] for row in range(size)]
    return np.stack([np.linalg.solve(r @ r.T + ridge, r[:, 0]) for r in to_come])


def row_plan(low_res, scale, method="antialiased"):
    """The `RowPlan` of some inputs.

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
        row: scalar int32, which.
        missing: `[batch, low, low, channels]` float32, by how much the input is more than the
            rows above and those to come reduce to; zeros before the first row.
        pixels: `[batch, width, channels]` int32, 0..255.
        kept: `[batch, width, channels]` bool, what may not be changed, or None.

    Returns:
        `(pixels, missing)`: the row to keep, and what is missing after it.
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
