"""Super-resolves images: python -m prsr.sample --model=faces --input=FILE_OR_FOLDER"""

import dataclasses
import pathlib

from absl import flags

from prsr.errors import UserError
from prsr.flags import (
    FLAGS,
    define_batch_size,
    define_sampling,
    define_trained,
    run,
    sampling_from_flags,
    trained,
)


def define():
    define_trained()
    define_sampling()
    flags.DEFINE_string(
        "input",
        None,
        "An image, or a folder of images. Left out: images of the run's test split, or those that "
        "come with --model.",
    )
    flags.DEFINE_bool(
        "align",
        False,
        "Find the face in each image, and cut it as the model's training images were.",
    )
    flags.DEFINE_string(
        "given",
        None,
        "An image of the high-resolution size with transparent parts: these are drawn, and all "
        "else stays as it is. What is drawn sees what was given before it, row by row.",
    )
    flags.DEFINE_string("output", "samples", "The folder to write to.")
    flags.DEFINE_integer("num_samples", 4, "Samples for each image.", 1)
    flags.DEFINE_bool("greedy", False, "Always take the most likely value; the same as --tau=inf.")
    flags.DEFINE_integer("seed", 1, "Sample k of an image depends on this seed, k and the image.")
    flags.DEFINE_integer("num_images", 8, "Without --input: how many images.", 1)
    define_batch_size()


def main():
    from prsr.data import inputs
    from prsr.sampling import super_resolution

    workdir = trained()
    if FLAGS.align and FLAGS.input is None:
        raise UserError("--align needs --input, the image or folder to find faces in")
    hparams, model = workdir.load_model()
    sampling = sampling_from_flags(hparams)
    if FLAGS.greedy:
        sampling = dataclasses.replace(sampling, tau=float("inf"))
    given = None if FLAGS.given is None else inputs.read_given(FLAGS.given, hparams)
    find_eyes = inputs.eye_finder(hparams) if FLAGS.align else None
    if FLAGS.input is not None:
        chosen = inputs.read_inputs(FLAGS.input, hparams, find_eyes)
    elif FLAGS.model is not None:
        chosen = inputs.read_inputs(workdir.path / "examples", hparams)
        chosen = chosen[: FLAGS.num_images]
    else:
        hparams, _ = workdir.check_images(hparams)
        chosen = inputs.test_inputs(hparams, FLAGS.num_images)
    super_resolution.super_resolve(
        model,
        hparams,
        chosen,
        pathlib.Path(FLAGS.output),
        num_samples=1 if FLAGS.greedy else FLAGS.num_samples,
        sampling=sampling,
        seed=FLAGS.seed,
        batch_size=FLAGS.batch_size,
        given=given,
    )


if __name__ == "__main__":
    run(main, define)
