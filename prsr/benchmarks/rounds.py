"""Fair times on a machine that others use too: contenders take turns, medians count."""

import sys
import time

import numpy as np
import tensorflow as tf

MATRIX = "matrix product"


def seconds(function):
    """Wall time of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def interleave(contenders, rounds):
    """Times functions in turns, so that a slow spell of the machine hits them alike.

    Args:
        contenders: dict of name to function; each returns when its work is done.
        rounds: how many times each is timed, after a first call that is kept apart.

    Returns:
        Two dicts of name to seconds: medians over the rounds, and first calls.
    """
    first = {}
    for name, function in contenders.items():
        print(f"{name}: first call", file=sys.stderr)
        first[name] = seconds(function)
    times = {name: [] for name in contenders}
    for number in range(rounds):
        for name, function in contenders.items():
            times[name].append(seconds(function))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return {name: float(np.median(own)) for name, own in times.items()}, first


def matrix_product(size=2048, repeats=5):
    """A contender, some float32 matrix products, and their floating point operations."""
    matrix = tf.random.normal((size, size))
    product = tf.function(lambda x: x @ x)

    def run():
        for _ in range(repeats):
            product(matrix).numpy()

    return run, repeats * 2 * size**3
