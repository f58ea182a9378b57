"""Trains and judges models of MNIST corners, and draws Figure 2.

python -m prsr.corners --flagfile=experiments/mnist_corners.flags --dataset=mnist:DIR
"""

from absl.flags import DEFINE_integer

from prsr import flags
from prsr.flags import FLAGS
from prsr.system.errors import UserError


def define():
    with flags.group("Run"):
        flags.define_workdir()
        flags.define_replicas()
    with flags.group("Evaluation"):
        DEFINE_integer("num_images", 1000, "Test digits to draw", 1)
        DEFINE_integer("classifier_epochs", 3, "Epochs of the network that reads digits", 1)
        flags.define_batch_size(50)
    flags.define_hparams(but=["architecture", "initial_weights"])
    flags.define_schedule()


def main():
    from prsr.data import sources
    from prsr.evaluation import mnist_corners
    from prsr.hparams import ARCHITECTURES
    from prsr.training import distribution, loop
    from prsr.workdir.directory import Workdir

    if FLAGS.pairs != "corners":
        raise UserError("prsr.corners needs --pairs=corners")
    if len(distribution.workers()) > 1:
        raise UserError("prsr.corners trains on one machine only; unset TF_CONFIG")
    strategy = distribution.open_strategy(FLAGS.num_replicas)
    source = sources.open_source(FLAGS.dataset, FLAGS.split, FLAGS.channels)
    for split in ("train", "test"):
        source.labels(split)  # rejects images without classes before training starts
    folder = Workdir(FLAGS.workdir).path
    runs = {kind: Workdir(folder / kind) for kind in ARCHITECTURES}
    for kind, workdir in runs.items():
        saved = workdir.read_hparams() if workdir.settings.exists() else None
        hparams = flags.hparams_from_flags(saved, architecture=kind, initial_weights="")
        print(f"{kind}: training in {workdir.path}")
        stopped = loop.run(workdir, hparams, flags.schedule_from_flags(), strategy)
        if stopped:
            print("saved; the same command continues")
            return 128 + stopped
    table = mnist_corners.report(
        runs,
        source,
        folder,
        FLAGS.num_images,
        FLAGS.tau,
        FLAGS.classifier_epochs,
        FLAGS.batch_size,
    )
    print(table)
    print(f"wrote corners.md, corners.json, corners.npz, figure2.png and figure2.pdf to {folder}")
    return 0


if __name__ == "__main__":
    flags.run(main, define)
