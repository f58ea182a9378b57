"""Makes the pairs of MNIST corners (section 3.2), a task with exactly two right answers.

Paper: the canvas, the digit's size and its place in the input are not stated. Here a digit has half
the canvas' height and width. The input shows it in the middle, the output in the upper left or
upper right corner with equal probability.
"""

import tensorflow as tf

from prsr import images


def low_res(digits, scale, downsampling):
    """Returns the inputs: each digit in the middle of an empty canvas.

    Args:
        digits: `[batch, size, size, channels]` uint8.
        scale: the upscaling factor, a divisor of `size / 2`; the input shows the digit at
            `size / scale`.
        downsampling: one of `prsr.hparams.DOWNSAMPLING`.

    Returns:
        `[batch, 2 size / scale, 2 size / scale, channels]` uint8.
    """
    if scale > 1:
        digits = images.downsample(digits, scale, downsampling)
    margin = digits.shape[1] // 2
    return tf.pad(digits, ((0, 0), (margin, margin), (margin, margin), (0, 0)))


def high_res(digits, second, pairs):
    """Returns the outputs: each digit in one of two corners of an empty canvas.

    Args:
        digits: `[batch, size, size, channels]` uint8.
        second: `[batch]` bool, whether the digit goes to the second corner.
        pairs: `"corners"` (upper left or upper right), or `"diagonal_corners"` (upper left or lower
            right).

    Returns:
        `[batch, 2 size, 2 size, channels]` uint8.
    """
    size = digits.shape[1]
    first = tf.pad(digits, ((0, 0), (0, size), (0, size), (0, 0)))
    down = size if pairs == "diagonal_corners" else 0
    other = tf.pad(digits, ((0, 0), (down, size - down), (size, 0), (0, 0)))
    return tf.where(second[:, None, None, None], other, first)
