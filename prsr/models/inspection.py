"""What A and B say of each sub-pixel of an image, and what comes of it: equation 6, looked into."""

import math

import numpy as np
from keras import ops

_OPINIONS = ("conditioning", "prior", "joint")


def compare(conditioning_logits, prior_logits, high_res):
    """The two opinions of every sub-pixel and their sum, with their scores.

    Args:
        conditioning_logits: A(x), `[..., 256]` floating.
        prior_logits: B(y), the same shape.
        high_res: y, `[...]`, 0..255, any dtype: the values that are there.

    Returns:
        A dict of float32 tensors. Of each NAME of `conditioning` (A), `prior` (B) and `joint`
        (A + B):

        - `NAME_logits`: `[..., 256]`, normalised, so log-probabilities, at most 0;
        - `NAME_nats`: `[...]`, the negative log-probability of the value that is there;
        - `NAME_entropy_bits`: `[...]`, 0 to 8.

        And `prior_moved_bits` and `conditioning_moved_bits`, `[...]`, 0 or more: the
        Kullback-Leibler divergence of A + B from A alone, which is how far B moved it, and from
        B alone.
    """
    a, b = (ops.cast(logits, "float32") for logits in (conditioning_logits, prior_logits))
    own = dict(zip(_OPINIONS, (ops.log_softmax(logits) for logits in (a, b, a + b))))
    there = ops.cast(high_res, "int32")[..., None]
    result = {f"{name}_logits": logits for name, logits in own.items()}
    for name, logits in own.items():
        result[f"{name}_nats"] = -ops.take_along_axis(logits, there, axis=-1)[..., 0]
    for name, logits in own.items():
        result[f"{name}_entropy_bits"] = _bits(ops.exp(logits), -logits)
    joint = own["joint"]
    result["prior_moved_bits"] = _bits(ops.exp(joint), joint - own["conditioning"])
    result["conditioning_moved_bits"] = _bits(ops.exp(joint), joint - own["prior"])
    return result


def _bits(probabilities, nats):
    """The mean of `nats`, in bits. Rounding must not make it negative."""
    return ops.maximum(ops.sum(probabilities * nats, axis=-1) / math.log(2), 0.0)


def inspect(inspect_batch, low_res, high_res, box=None, batch_size=16):
    """`PixelRecursiveSuperResolution.inspect` of any number of images, part by part.

    Args:
        inspect_batch: function of `(low_res, high_res)` to a dict of tensors.
        low_res: `[count, low, low, channels]` uint8.
        high_res: `[count, high, high, channels]` uint8.
        box: `(left, top, right, bottom)`, the pixels to keep, or None for all.
        batch_size: images at once.

    Returns:
        The dict, of `[count, rows, columns, ...]` float32 arrays.
    """
    left, top, right, bottom = box or (0, 0, *high_res.shape[2:0:-1])
    parts = []
    for start in range(0, len(low_res), batch_size):
        part = inspect_batch(low_res[start:][:batch_size], high_res[start:][:batch_size])
        part = {name: np.asarray(x)[:, top:bottom, left:right] for name, x in part.items()}
        # A view would keep all of the batch.
        parts.append({name: np.array(x) for name, x in part.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
