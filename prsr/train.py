"""Trains a model, or continues a run: python -m prsr.train --flagfile=experiments/celeba.flags"""

import os

from absl import flags

from prsr.flags import (
    FLAGS,
    define_hparams,
    define_replicas,
    define_schedule,
    define_workdir,
    hparams_from_flags,
    run,
    schedule_from_flags,
)


def define():
    define_workdir()
    define_hparams()
    define_schedule()
    define_replicas()
    flags.DEFINE_alias("model", "architecture")


def main():
    # TensorFlow takes seconds to import: not for --help, nor for a flag misspelt.
    from prsr.trained.workdir import Workdir
    from prsr.training import distribution, loop

    workdir = Workdir(FLAGS.workdir)
    saved = workdir.read_hparams() if workdir.settings.exists() else None
    hparams, schedule = hparams_from_flags(saved), schedule_from_flags()
    with distribution.restart_on_lost_worker():
        strategy = distribution.open_strategy(FLAGS.num_replicas)
        stopped = loop.run(workdir, hparams, schedule, strategy)
    if stopped:
        print("saved; the same command continues")
        return 128 + stopped
    print(f"done: {workdir.path}{os.sep} has the weights, curves.png and samples/")
    return 0


if __name__ == "__main__":
    run(main, define)
