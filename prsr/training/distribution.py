"""Distributes training over one device, several devices, or several machines.

For several machines, run the same command on each with its own `TF_CONFIG`, as is TensorFlow's
standard.
"""

import contextlib
import faulthandler
import json
import os
import re
import signal
import sys
import time

import tensorflow as tf

from prsr.system import backend
from prsr.system.errors import UserError, cause, first_line

# What a step raises when another worker is gone.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
)
_MAX_WAIT = 600  # seconds to wait for the other workers


def open_strategy(num_replicas=0):
    """Makes the strategy of this process; call it once, before TensorFlow computes anything.

    Args:
        num_replicas: number of devices of this machine, as for `backend.devices`.

    Returns:
        `tf.distribute.MultiWorkerMirroredStrategy` if `TF_CONFIG` names several workers (it waits
        for all of them), `MirroredStrategy` for several devices, or None for one.

    Raises:
        UserError: there are fewer GPUs, or `TF_CONFIG` is invalid.
    """
    addresses = workers()
    names = backend.devices(num_replicas)
    if len(addresses) > 1:
        return _several_machines(addresses)
    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else None


def all_gather(strategy, numbers):
    """Gathers a list of ints from each device of all machines, the chief's first.

    On one machine this is only its own. Raises one of `LOST` if another worker was lost.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return [numbers]
    return _gather(strategy, tf.constant(numbers, tf.int64)).numpy().tolist()


@tf.function
def _gather(strategy, numbers):
    def gather():
        return tf.distribute.get_replica_context().all_gather(numbers[None], axis=0)

    return strategy.experimental_local_results(strategy.run(gather))[0]


def workers():
    """Returns the addresses in `TF_CONFIG`, the chief's first; empty if it is not set."""
    if not os.environ.get("TF_CONFIG"):
        return []
    try:
        config = json.loads(os.environ["TF_CONFIG"])
        cluster, task = config["cluster"], config["task"]
        named = sum(len(cluster[kind]) for kind in cluster)
        chief, index = cluster.get("chief", []), task["index"]
        found = [*chief, *cluster.get("worker", [])]
        if not found or named != len(found) or not all(re.search(r":\d+$", w) for w in found):
            raise ValueError("expected one or more workers as host:port, and nothing else")
        if len(chief) > 1 or index < 0:
            raise ValueError("expected one chief at most, and an index from 0")
        cluster[task["type"]][index]
    except (AttributeError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(
            f'TF_CONFIG must be like {{"cluster": {{"worker": ["host1:2222", "host2:2222"]}}, '
            f'"task": {{"type": "worker", "index": 0}}}} ({type(error).__name__}: {error})'
        ) from error
    return found


def _several_machines(addresses):
    print(
        f"waiting up to {_MAX_WAIT} seconds for all {len(addresses)} workers: "
        f"{', '.join(addresses)}",
        file=sys.stderr,
        flush=True,
    )
    # TensorFlow waits forever, and blocks all other Python threads meanwhile.
    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (discards the traceback)
    faulthandler.dump_traceback_later(_MAX_WAIT, exit=True, file=nowhere)
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python handlers cannot run meanwhile
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        all_gather(strategy, [0])  # else the first worker waits only when it needs the others
        return strategy
    except LOST:
        raise
    except (tf.errors.OpError, ValueError) as error:
        raise UserError(
            f"the workers in TF_CONFIG cannot work together ({cause(error)}); check that this "
            f"address is free and that all workers have the same number of replicas"
        ) from error
    finally:
        faulthandler.cancel_dump_traceback_later()
        nowhere.close()
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)  # TensorFlow installs its own handler


@contextlib.contextmanager
def restart_on_lost_worker():
    """Restarts this process with the same command line if a worker is lost.

    The new process waits for all workers, as TensorFlow cannot continue with a returning worker.
    """
    try:
        yield
    except LOST as error:
        if len(workers()) < 2:
            raise
        print(f"a worker was lost ({first_line(error)}); restarting", file=sys.stderr)
        time.sleep(1)
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
