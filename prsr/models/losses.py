"""Cross-entropies of equations 7 and 8 and their units, as pure Keras functions."""

import math

import keras
from keras import ops


def widen(logits):
    """Casts to at least float32, which sums of many terms need."""
    dtype = keras.backend.standardize_dtype(logits.dtype)
    return logits if dtype == "float64" else ops.cast(logits, "float32")


def nats_per_image(logits, high_res):
    """Returns the cross-entropy of each image, summed over its sub-pixels.

    -sum_i (1[y_i]^T logits_i - lse(logits_i)): the negated inner sum of equation 7.

    Args:
        logits: `[batch, height, width, channels, 256]`, any floating dtype.
        high_res: `[batch, height, width, channels]`, 0..255, any dtype.

    Returns:
        `[batch]` in nats per image, float32 or wider.
    """
    labels = ops.cast(high_res, "int32")
    nats = ops.sparse_categorical_crossentropy(labels, widen(logits), from_logits=True)
    return ops.sum(nats, axis=(1, 2, 3))


def bits_per_dim(nats, image_shape):
    """Converts nats per image to bits per dimension: nats / (ln 2 * number of sub-pixels).

    A uniform guess scores 8. `image_shape` is `(height, width, channels)` of the high-resolution
    image.
    """
    return nats / (math.log(2) * math.prod(image_shape))


def in_words(nats, image_shape):
    """Formats nats per image, with bits per dimension, such as `8,226 (3.86)`."""
    return f"{nats:,.0f} ({bits_per_dim(nats, image_shape):.2f})"
