"""Trains a model, or continues a run: python -m prsr.train --flagfile=experiments/celeba.flags"""

import os

from absl import flags

from prsr.flags import FLAGS, define_hparams, define_tau, define_workdir, hparams_from_flags, run

define_workdir()
define_hparams()
define_tau()
flags.DEFINE_integer("log_every", 100, "Steps between two lines of training scores.", 1)
flags.DEFINE_integer("eval_every", 1000, "Steps between two validations.", 1)
flags.DEFINE_integer("eval_images", 512, "Validation images to score.", 1)
flags.DEFINE_integer("checkpoint_every", 1000, "Steps between two checkpoints.", 1)
flags.DEFINE_integer("sample_every", 0, "Steps between two grids; 0: at the end only.", 0)
flags.DEFINE_integer("sample_images", 4, "Rows of a grid; 0 draws none.", 0)
flags.DEFINE_integer("num_samples", 3, "Samples a row.", 1)


def main():
    # TensorFlow takes seconds to import: not for --help, nor for a flag misspelt.
    import tensorflow as tf

    from prsr import training, workdirs
    from prsr.data import pipeline

    workdir = workdirs.Workdir(FLAGS.workdir)
    saved = workdir.read_hparams() if workdir.settings.exists() else None
    hparams = hparams_from_flags(saved)
    hparams.check()
    lock = workdir.lock()
    devices = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    strategy = tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else None
    channels = hparams.model.channels
    workdirs.build_model(hparams)  # what cannot work is refused before images are read
    train_set = pipeline.load(hparams.data, channels, "train")
    validation_set = pipeline.load(hparams.data, channels, "validation", FLAGS.eval_images)
    trainer = training.Trainer(hparams, train_set, strategy)
    print(
        f"{trainer.model.count_params():,} weights, {len(train_set.names):,} training images, "
        f"{len(validation_set.names):,} validation images, {max(1, len(devices))} device(s)"
    )
    workdir.write_hparams(hparams)
    schedule = training.Schedule(
        log_every=FLAGS.log_every,
        eval_every=FLAGS.eval_every,
        sample_every=FLAGS.sample_every,
        checkpoint_every=FLAGS.checkpoint_every,
        sample_images=FLAGS.sample_images,
        samples_per_image=FLAGS.num_samples,
        tau=FLAGS.tau,
    )
    stopped = training.train(trainer, workdir, validation_set, schedule)
    lock.close()
    if stopped:
        print("saved; the same command continues")
        return 128 + stopped
    print(f"done: {workdir.path}{os.sep} has the weights, curves.png and samples/")
    return 0


if __name__ == "__main__":
    run(main)
