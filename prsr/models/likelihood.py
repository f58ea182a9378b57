"""Scores any number of images under a model, batch by batch."""

import numpy as np
from keras import ops

from prsr.system import backend

_UNTRACED = 2  # batches; in TensorFlow, tracing costs what about six batches save


class Repeated:
    """The `scores` and `log_likelihood` of a model, for when they are needed many times.

    In TensorFlow it scores the first batches eagerly, and later ones with a graph in half the time.
    """

    def __init__(self, model):
        self.scores = _trace_later(model.scores)
        self.log_likelihood = _trace_later(model.log_likelihood)


def _trace_later(function):
    traced, calls = backend.traced(function), 0

    def call(*arguments):
        nonlocal calls
        calls += 1
        return (function if calls <= _UNTRACED else traced)(*arguments)

    return call


def scores(model, low_res, high_res, batch_size):
    """Scores images by a model's `scores`: a dict of `[count]` floats with its keys and units.

    `low_res` is `[count, height, width, channels]`, `high_res` `[count, height * scale, width *
    scale, channels]`, both uint8; `batch_size` of them are scored at once.
    """
    parts = list(_nats_by_batches(model.scores, low_res, high_res, batch_size))
    return {
        name: np.concatenate([ops.convert_to_numpy(part[name]) for part in parts])[: len(low_res)]
        for name in parts[0]
    }


def nats(model, low_res, high_res, batch_size):
    """Returns the negative log-likelihood of images, `[count]`, in nats per image.

    Takes the arguments of `scores`, but calls the model's `log_likelihood`.
    """
    parts = _nats_by_batches(model.log_likelihood, low_res, high_res, batch_size)
    return -np.concatenate([ops.convert_to_numpy(part) for part in parts])[: len(low_res)]


def batches(count, batch_size):
    """Yields the indices of batches of one size; the last wraps around to the first images."""
    size = min(batch_size, count)
    for start in range(0, count, size):
        yield np.arange(start, start + size) % count


def _nats_by_batches(function, low_res, high_res, batch_size):
    for batch in batches(len(low_res), batch_size):
        yield function(low_res[batch], high_res[batch])
