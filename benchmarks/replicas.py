"""Measures the cost of sharing one global batch among 1, 2, 4 and 8 devices."""

import contextlib
import multiprocessing
from concurrent import futures

import tensorflow as tf

from benchmarks import rounds, training
from prsr.system import progress
from prsr.training import distribution
from prsr.training.trainer import Trainer

COUNTS = (1, 2, 4, 8)


def compare(hparams, num_rounds):
    """Times the train step on each number of devices in `COUNTS`, in turn.

    Each number of devices gets its own process, which waits for its turn, because a second
    strategy in the same process would use the first one's keys.

    Args:
        hparams: `prsr.hparams.Hparams`.
        num_rounds: how many times each is timed.

    Returns:
        A list of dicts, one per number of devices that divides the batch. The devices are the
        GPUs or, without any, logical CPU devices, which add neither arithmetic nor speed.
    """
    gpus = len(tf.config.list_physical_devices("GPU"))
    counts = [
        count
        for count in COUNTS
        if hparams.training.global_batch_size % count == 0 and count <= (gpus or count)
    ]
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        contenders = {}
        for count in counts:
            pool = futures.ProcessPoolExecutor(1, context, _begin, (hparams, count))
            stack.enter_context(pool)
            contenders[count] = lambda pool=pool: pool.submit(_step).result()
        times, _ = rounds.interleave(contenders, num_rounds)
    return [
        {
            "devices": count,
            "kind": "GPU" if gpus else "CPU",
            "seconds": times[count],
            "relative": times[count] / times[1],
        }
        for count in counts
    ]


def _begin(hparams, count):
    global _trainer, _batch
    with progress.silenced():
        strategy = distribution.open_strategy(count)
    _trainer = Trainer(hparams, training.image_set(hparams), strategy)
    _batch = next(iter(_trainer.batches()))


def _step():
    return float(_trainer.train_step(_batch)["joint"])
