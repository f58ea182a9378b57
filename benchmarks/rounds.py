"""Fair timings on a shared machine: contenders take turns, and medians are reported."""

import multiprocessing
import pathlib
import re
import sys
import time
from concurrent import futures

import numpy as np
import tensorflow as tf

from prsr.system import progress

MATRIX = "matrix product"


def seconds(function):
    """Wall time of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def interleave(contenders, rounds):
    """Times functions in turn, so that a slow spell of the machine hits them all alike.

    Args:
        contenders: dict of name to function; each returns when its work is done.
        rounds: how many times each is timed, after a first call that is reported separately.

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
    return {name: float(np.median(measured)) for name, measured in times.items()}, first


def in_own_process(function, *arguments):
    """Calls a function in a fresh process, where nothing else has used memory, and silences it."""
    context = multiprocessing.get_context("spawn")
    with progress.silenced(), futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()


def peak_gib():
    """Peak memory of this process so far, in GiB."""
    # getrusage would count what the parent held when it started this process.
    status = pathlib.Path("/proc/self/status").read_text("utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**20


def matrix_product(size=2048, repeats=5):
    """A contender that runs float32 matrix products, and its floating point operations."""
    matrix = tf.random.normal((size, size))
    product = tf.function(lambda x: x @ x)

    def run():
        for _ in range(repeats):
            product(matrix).numpy()

    return run, repeats * 2 * size**3
