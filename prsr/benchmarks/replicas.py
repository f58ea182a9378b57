"""What it costs to share a batch among devices: the same global batch on 1, 2, 4 and 8."""

import contextlib
import multiprocessing
from concurrent import futures

import tensorflow as tf

from prsr import progress
from prsr.benchmarks import rounds, training
from prsr.training import distribution
from prsr.training.trainer import Trainer

COUNTS = (1, 2, 4, 8)


def compare(hparams, num_rounds):
    """Times the train step on so many devices, in turns.

    Each number of devices has a process of its own, which waits while it is not its turn: a
    second strategy in one process would use the first one's keys.

    Args:
        hparams: `prsr.hparams.Hparams`.
        num_rounds: rounds of each.

    Returns:
        A list of dicts, one a number of devices that divides the batch: GPUs, or logical
        devices of the CPU, which add no arithmetic and no speed.
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
        rounds.share_gpus()
        strategy = distribution.open_strategy(count)
    _trainer = Trainer(hparams, training.image_set(hparams), strategy)
    _batch = next(iter(_trainer.batches()))


def _step():
    return float(_trainer.train_step(_batch)["joint"])
