"""Equations 7 and 8, their sum, and their units, as pure functions on Keras alone."""

import math

import keras
from keras import ops


def nats_per_image(logits, high_res):
    """Cross-entropy of an image under independent categoricals, summed over sub-pixels.

    -sum_i (1[y_i]^T logits_i - lse(logits_i)): the inner sum of equation 7, negated.

    Args:
        logits: `[batch, height, width, channels, 256]`, any floating dtype.
        high_res: `[batch, height, width, channels]`, 0..255, any dtype.

    Returns:
        `[batch]` in nats an image, float32 or wider.
    """
    labels = ops.cast(high_res, "int32")
    nats = ops.sparse_categorical_crossentropy(labels, _widen(logits), from_logits=True)
    return ops.sum(nats, axis=(1, 2, 3))


def _widen(logits):
    """To float32 at least: sums of many terms need it."""
    dtype = keras.backend.standardize_dtype(logits.dtype)
    return logits if dtype == "float64" else ops.cast(logits, "float32")


def cross_entropies(conditioning_logits, prior_logits, high_res):
    """The three cross-entropies of a batch. Equation 8 is the sum of the first two.

    Args:
        conditioning_logits: A, `[batch, height, width, channels, 256]`.
        prior_logits: B, the same shape.
        high_res: `[batch, height, width, channels]`, 0..255.

    Returns:
        A dict of `[batch]` nats an image: `"joint"`, of softmax(A + B), `"conditioning"`,
        of softmax(A), and `"prior"`, of softmax(B), which is watched and not trained on.
    """
    conditioning_logits, prior_logits = _widen(conditioning_logits), _widen(prior_logits)
    return {
        "joint": nats_per_image(conditioning_logits + prior_logits, high_res),
        "conditioning": nats_per_image(conditioning_logits, high_res),
        "prior": nats_per_image(ops.stop_gradient(prior_logits), high_res),
    }


def objective(scores, conditioning_weight=1.0):
    """What training minimises: CE(A + B) + CE(A), equation 8; of a baseline its one score.

    Args:
        scores: dict of `[batch]` tensors, as the models' `scores` returns them.
        conditioning_weight: of CE(A); 0 gives equation 7.

    Returns:
        `[batch]` tensor.
    """
    if "joint" not in scores:
        return sum(scores.values())
    return scores["joint"] + conditioning_weight * scores["conditioning"]


def bits_per_dim(nats, image_shape):
    """Nats an image to bits per dimension: nats / (ln 2 * number of sub-pixels).

    Args:
        nats: a number or tensor in nats an image.
        image_shape: `(height, width, channels)` of the high-resolution image.

    Returns:
        The same in bits per dimension; a uniform guess scores 8.
    """
    return nats / (math.log(2) * math.prod(image_shape))


def in_words(nats, image_shape):
    """A score in both units, such as `8,226 (3.86)`: nats an image, and bits per dimension.

    Args:
        nats: a number, in nats an image.
        image_shape: `(height, width, channels)` of the high-resolution image.
    """
    return f"{nats:,.0f} ({bits_per_dim(nats, image_shape):.2f})"


def readable(scores, image_shape):
    """A model's scores in the units that are printed and kept.

    Args:
        scores: dict of means over images, as the models' `scores` returns them; other
            entries are left out.
        image_shape: `(height, width, channels)` of the high-resolution image.

    Returns:
        A dict of floats: `"bits_per_dim/NAME"` of each cross-entropy, `"nats_per_image"`
        of the model itself; of a regression `"mean_squared_error"`, on [0, 1].
    """
    if "squared_error" in scores:
        return {"mean_squared_error": scores["squared_error"] / math.prod(image_shape)}
    names = [name for name in ("joint", "conditioning", "prior") if name in scores]
    result = {f"bits_per_dim/{name}": bits_per_dim(scores[name], image_shape) for name in names}
    return {**result, "nats_per_image": scores[names[0]]}
