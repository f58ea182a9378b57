"""Projects images onto those that downsample to a given input.

Downsampling is linear, x = R y R^T for each channel, where R `[low, high]` holds the weights of
the high-resolution pixels in each low-resolution one. The nearest image to y that downsamples to x
is then

    y + R+ (x - R y R^T) R+^T,    R+ = R^T (R R^T)^-1

(Sønderby et al. 2016 built such a projection into their networks). Pixels are integers in 0..255,
so projecting and clipping alternate, and rounding comes last.
"""

import functools

import numpy as np
from keras import ops


def _cubic_kernel(distance):
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
    weights = _cubic_kernel((np.arange(size) - centers[:, None]) / scale)
    return weights / weights.sum(axis=1, keepdims=True)


@functools.cache
def _pseudoinverse(size, scale, method):
    """Returns R+, `[size, size / scale]`."""
    matrix = reduction_matrix(size, scale, method)
    return matrix.T @ np.linalg.inv(matrix @ matrix.T)


def match(high_res, low_res, method="antialiased", given=None, rounds=3):
    """Changes images as little as possible so that they downsample to their inputs.

    Args:
        high_res: `[batch, size, size, channels]`, 0..255, any dtype.
        low_res: `[batch, size / scale, size / scale, channels]`, 0..255, any dtype.
        method: how inputs are made, one of `prsr.hparams.DOWNSAMPLING`.
        given: `[size, size, channels]`, values to keep, 0..255, and -1 elsewhere; or such an array
            for each image; or None. The other pixels make up the difference as far as they can.
        rounds: how often to project and clip.

    Returns:
        uint8 tensor like `high_res`. Downsampled again, photographs and samples differ from their
        inputs by 0.3 of 255 on average, which is rounding. More remains where a part of an image
        would have to be brighter than white or darker than black.
    """
    size, scale = high_res.shape[1], high_res.shape[1] // low_res.shape[1]
    matrix = ops.convert_to_tensor(reduction_matrix(size, scale, method), "float32")
    inverse = ops.convert_to_tensor(_pseudoinverse(size, scale, method), "float32")
    image, goal = ops.cast(high_res, "float32"), ops.cast(low_res, "float32")
    known = ops.cast(-1 if given is None else given, "float32")
    for _ in range(rounds):
        missing = goal - ops.einsum("rh,bhwc,sw->brsc", matrix, image, matrix)
        image = ops.clip(image + ops.einsum("hr,brsc,ws->bhwc", inverse, missing, inverse), 0, 255)
        image = ops.where(known >= 0, known, image)
    return ops.cast(ops.round(image), "uint8")
