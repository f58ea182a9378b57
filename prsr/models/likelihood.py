"""Scores of many images under a model, in nats an image."""

import numpy as np
from keras import ops


def scores(model, low_res, high_res, batch_size):
    """A model's scores of images, whoever made them.

    Args:
        model: one with `scores`.
        low_res: `[count, height, width, channels]` uint8.
        high_res: `[count, height * scale, width * scale, channels]` uint8.
        batch_size: images at once.

    Returns:
        A dict of `[count]` float arrays, as the model's `scores`; the model's own comes first.
    """
    parts = [
        model.scores(low_res[start:][:batch_size], high_res[start:][:batch_size])
        for start in range(0, len(low_res), batch_size)
    ]
    return {
        name: np.concatenate([ops.convert_to_numpy(part[name]) for part in parts])
        for name in parts[0]
    }


def nats(model, low_res, high_res, batch_size):
    """Negative log-likelihood of images, `[count]` in nats an image; arguments as `scores`."""
    return next(iter(scores(model, low_res, high_res, batch_size).values()))
