"""Trains a model, or resumes a run.

python -m prsr.train --flagfile=experiments/quickstart.flags
"""

import os

from absl import flags

from prsr.flags import (
    FLAGS,
    define_hparams,
    define_replicas,
    define_schedule,
    define_workdir,
    group,
    hparams_from_flags,
    run,
    schedule_from_flags,
)


def define():
    with group("Run"):
        define_workdir()
        define_replicas()
    define_hparams()
    define_schedule()
    flags.DEFINE_alias("model", "architecture")  # its name before version 0.2


def main():
    # TensorFlow takes seconds to import: neither --help nor a misspelt flag should wait for it.
    from prsr.training import checkpoints, distribution, loop
    from prsr.workdir.directory import Workdir

    workdir = Workdir(FLAGS.workdir)
    saved = workdir.read_hparams() if workdir.settings.exists() else None
    hparams, schedule = hparams_from_flags(saved), schedule_from_flags()
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
    run(main, define)
