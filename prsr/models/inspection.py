"""Compares what A and B predict for each sub-pixel of an image with their sum (equation 6)."""

import math

import numpy as np
from keras import ops


def compare(logits, high_res):
    """Returns the distributions of A, B and A + B for every sub-pixel, with their scores.

    Args:
        logits: `prsr.models.pixel_recursive.Logits`.
        high_res: y, `[...]`, 0..255, any dtype: the actual values.

    Returns:
        A dict of float32 tensors. For each NAME in `conditioning` (A), `prior` (B) and `joint`
        (A + B):

        - `NAME_logits`: `[..., 256]`, normalised to log-probabilities (at most 0);
        - `NAME_nats`: `[...]`, the negative log-probability of the actual value;
        - `NAME_entropy_bits`: `[...]`, 0 to 8.

        And the Kullback-Leibler divergence of A + B, `[...]`, 0 or more: `prior_moved_bits` from A
        alone (how far B moved it), and `conditioning_moved_bits` from B alone.
    """
    conditioning, prior, joint = (ops.log_softmax(ops.cast(x, "float32")) for x in logits)
    named = {"conditioning": conditioning, "prior": prior, "joint": joint}
    values = ops.cast(high_res, "int32")[..., None]
    result = {f"{name}_logits": x for name, x in named.items()}
    for name, x in named.items():
        result[f"{name}_nats"] = -ops.take_along_axis(x, values, axis=-1)[..., 0]
    for name, x in named.items():
        result[f"{name}_entropy_bits"] = _bits(ops.exp(x), -x)
    result["prior_moved_bits"] = _bits(ops.exp(joint), joint - conditioning)
    result["conditioning_moved_bits"] = _bits(ops.exp(joint), joint - prior)
    return result


def _bits(probabilities, nats):
    """The mean of `nats`, in bits; rounding errors never make it negative."""
    return ops.maximum(ops.sum(probabilities * nats, axis=-1) / math.log(2), 0.0)


def inspect(inspect_batch, low_res, high_res, box=None, batch_size=16):
    """Runs `PixelRecursiveSuperResolution.inspect` on any number of images, batch by batch.

    Args:
        inspect_batch: function from `(low_res, high_res)` to a dict of tensors.
        low_res: `[count, low, low, channels]` uint8.
        high_res: `[count, high, high, channels]` uint8.
        box: `(left, top, right, bottom)`, the pixels to keep, or None for all.
        batch_size: images per batch.

    Returns:
        The same dict, as `[count, rows, columns, ...]` float32 arrays.
    """
    left, top, right, bottom = box or (0, 0, *high_res.shape[2:0:-1])
    parts = []
    for start in range(0, len(low_res), batch_size):
        part = inspect_batch(low_res[start:][:batch_size], high_res[start:][:batch_size])
        part = {name: np.asarray(x)[:, top:bottom, left:right] for name, x in part.items()}
        # Copy: a view would keep the whole batch in memory.
        parts.append({name: np.array(x) for name, x in part.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
