"""Super-resolves images: python -m prsr.sample --workdir=RUN --input=FILE_OR_FOLDER --output=OUT"""

import pathlib

from absl import flags

from prsr.flags import FLAGS, define_tau, define_workdir, run

define_workdir()
define_tau()
flags.DEFINE_string(
    "input", None, "An image, or a folder of images. Left out: images of the run's test split."
)
flags.DEFINE_string("output", None, "The folder to write to.", required=True)
flags.DEFINE_integer("num_samples", 4, "Samples for each image.", 1)
flags.DEFINE_bool("greedy", False, "Always take the most likely value; the same as --tau=inf.")
flags.DEFINE_integer("seed", 1, "Sample k of an image depends on this seed, k and the image.")
flags.DEFINE_integer("num_images", 8, "Without --input: how many test images.", 1)
flags.DEFINE_integer("batch_size", 16, "Samples that are drawn at once; changes no image.", 1)


def main():
    from prsr import super_resolution, workdirs

    hparams, model = workdirs.Workdir(FLAGS.workdir).load_model()
    if FLAGS.input is None:
        inputs = super_resolution.test_inputs(hparams, FLAGS.num_images)
    else:
        inputs = super_resolution.read_inputs(FLAGS.input, hparams)
    super_resolution.super_resolve(
        model,
        hparams,
        inputs,
        pathlib.Path(FLAGS.output),
        num_samples=1 if FLAGS.greedy else FLAGS.num_samples,
        tau=float("inf") if FLAGS.greedy else FLAGS.tau,
        seed=FLAGS.seed,
        batch_size=FLAGS.batch_size,
    )


if __name__ == "__main__":
    run(main)
