"""The losses of equations 7 and 8 and their units, as pure Keras functions."""

import math

import keras
from keras import ops


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
    nats = ops.sparse_categorical_crossentropy(labels, _widen(logits), from_logits=True)
    return ops.sum(nats, axis=(1, 2, 3))


def _widen(logits):
    """Casts to at least float32, which sums of many terms need."""
    dtype = keras.backend.standardize_dtype(logits.dtype)
    return logits if dtype == "float64" else ops.cast(logits, "float32")


def cross_entropies(conditioning_logits, prior_logits, high_res):
    """Returns the three cross-entropies of a batch; equation 8 is the sum of the first two.

    Args:
        conditioning_logits: A, `[batch, height, width, channels, 256]`.
        prior_logits: B, the same shape.
        high_res: `[batch, height, width, channels]`, 0..255.

    Returns:
        A dict of `[batch]` tensors in nats per image: `"joint"` for softmax(A + B),
        `"conditioning"` for softmax(A), and `"prior"` for softmax(B), which is only monitored.
    """
    conditioning_logits, prior_logits = _widen(conditioning_logits), _widen(prior_logits)
    return {
        "joint": nats_per_image(conditioning_logits + prior_logits, high_res),
        "conditioning": nats_per_image(conditioning_logits, high_res),
        "prior": nats_per_image(ops.stop_gradient(prior_logits), high_res),
    }


def objective(scores, conditioning_weight=1.0):
    """Returns the training loss: CE(A + B) + CE(A) (equation 8), or a baseline's only score.

    Args:
        scores: dict of `[batch]` tensors from a model's `scores`.
        conditioning_weight: weight of CE(A); 0 gives equation 7.

    Returns:
        `[batch]` tensor.
    """
    if "joint" not in scores:
        return sum(scores.values())
    return scores["joint"] + conditioning_weight * scores["conditioning"]


def bits_per_dim(nats, image_shape):
    """Converts nats per image to bits per dimension: nats / (ln 2 * number of sub-pixels).

    Args:
        nats: a number or tensor in nats per image.
        image_shape: `(height, width, channels)` of the high-resolution image.

    Returns:
        The value in bits per dimension; a uniform guess scores 8.
    """
    return nats / (math.log(2) * math.prod(image_shape))


def in_words(nats, image_shape):
    """Formats a score as nats per image (bits per dimension), such as `8,226 (3.86)`.

    Args:
        nats: a number, in nats per image.
        image_shape: `(height, width, channels)` of the high-resolution image.
    """
    return f"{nats:,.0f} ({bits_per_dim(nats, image_shape):.2f})"


def readable(scores, image_shape):
    """Converts a model's scores to the units that are printed and saved.

    Args:
        scores: dict of means over images of a model's `scores`; other entries are dropped.
        image_shape: `(height, width, channels)` of the high-resolution image.

    Returns:
        A dict of floats: `"bits_per_dim/NAME"` for each cross-entropy and `"nats_per_image"` for
        the model itself, or, for a regression, `"mean_squared_error"` on [0, 1].
    """
    if "squared_error" in scores:
        return {"mean_squared_error": scores["squared_error"] / math.prod(image_shape)}
    names = [name for name in ("joint", "conditioning", "prior") if name in scores]
    result = {f"bits_per_dim/{name}": bits_per_dim(scores[name], image_shape) for name in names}
    return {**result, "nats_per_image": scores[names[0]]}
