"""Trains a model, or resumes a run.

python -m prsr.train --flagfile=experiments/quickstart.flags
"""

import os

from absl.flags import DEFINE_alias

from prsr import flags
from prsr.flags import FLAGS


def define():
    with flags.group("Run"):
        flags.define_workdir()
        flags.define_replicas()
    flags.define_hparams()
    flags.define_schedule()
    DEFINE_alias("model", "architecture")  # its name before version 0.2


def main():
    # TensorFlow takes seconds to import: neither --help nor a misspelt flag should wait for it.
    from prsr.training import checkpoints, distribution, loop
    from prsr.workdir.directory import Workdir

    workdir = Workdir(FLAGS.workdir)
    saved = workdir.read_hparams() if workdir.settings.exists() else None
    hparams, schedule = flags.hparams_from_flags(saved), flags.schedule_from_flags()
    begun = max(checkpoints.steps(workdir), default=0)
    with distribution.restart_on_lost_worker():
        strategy = distribution.open_strategy(FLAGS.num_replicas)
        stopped = loop.run(workdir, hparams, schedule, strategy)
    if stopped:
        print("saved; the same command continues")
        return 128 + stopped
    print(f"done: {workdir.path}{os.sep} has the weights, curves.png and samples/")
    if begun >= hparams.training.train_steps:
        print(
            f"nothing to train: the run is at step {begun:,}; a larger --train_steps continues it"
        )
    return 0


if __name__ == "__main__":
    flags.run(main, define)
