"""Scores of many images under a model, in nats an image."""

import numpy as np
from keras import ops

from prsr import backend

_UNTRACED = 2  # batches; with TensorFlow, tracing takes as long as half a dozen save


class Repeated:
    """A model's scores, for whoever asks again and again.

    With TensorFlow the first batches are scored eagerly, as few need no more, and the others by a
    graph, in half the time.

    Args:
        model: one with `scores` and `log_likelihood`, which are this object's as well.
    """

    def __init__(self, model):
        self.scores = _traced_later(model.scores)
        self.log_likelihood = _traced_later(model.log_likelihood)


def _traced_later(function):
    traced, calls = backend.traced(function), 0

    def call(*arguments):
        nonlocal calls
        calls += 1
        return (function if calls <= _UNTRACED else traced)(*arguments)

    return call


def scores(model, low_res, high_res, batch_size):
    """A model's scores of images, whoever made them.

    Args:
        model: one with `scores`.
        low_res: `[count, height, width, channels]` uint8.
        high_res: `[count, height * scale, width * scale, channels]` uint8.
        batch_size: images at once.

    Returns:
        A dict of `[count]` float arrays, as the model's `scores`.
    """
    parts = list(_by_batches(model.scores, low_res, high_res, batch_size))
    return {
        name: np.concatenate([ops.convert_to_numpy(part[name]) for part in parts])[: len(low_res)]
        for name in parts[0]
    }


def nats(model, low_res, high_res, batch_size):
    """Negative log-likelihood of images, `[count]` in nats an image.

    Arguments as `scores`, but that the model's `log_likelihood` is asked.
    """
    parts = _by_batches(model.log_likelihood, low_res, high_res, batch_size)
    return -np.concatenate([ops.convert_to_numpy(part) for part in parts])[: len(low_res)]


def _by_batches(function, low_res, high_res, batch_size):
    """A function of batches of one size; the last one begins anew with the first images."""
    count, size = len(low_res), min(batch_size, len(low_res))
    for start in range(0, count, size):
        batch = np.arange(start, start + size) % count
        yield function(low_res[batch], high_res[batch])
