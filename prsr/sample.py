"""Super-resolves images.

python -m prsr.sample --model=faces --input=FILE_OR_FOLDER --output=samples
"""

import dataclasses
import pathlib

from absl import flags

from prsr.flags import (
    FLAGS,
    define_batch_size,
    define_path,
    define_replicas,
    define_sampling,
    define_trained,
    group,
    run,
    sampling_from_flags,
    trained,
)
from prsr.system import backend
from prsr.system.errors import UserError


def define():
    define_trained()
    with group("Images"):
        define_path(
            "input",
            None,
            "Image or folder; by default the bundled photographs or the run's test images",
        )
        flags.DEFINE_bool("align", False, "Find the face in each image and cut it as for training")
        flags.DEFINE_integer("num_images", 8, "Without --input: number of images", 1)
        define_path(
            "given", None, "High-resolution image to continue: only its transparent parts are drawn"
        )
        define_path("output", "samples", "Folder to write to")
    define_sampling()
    with group("Sampling"):
        flags.DEFINE_bool("greedy", False, "Always take the most likely value; same as --tau=inf")
        flags.DEFINE_integer("num_samples", 4, "Samples per image", 1)
        flags.DEFINE_integer(
            "seed", 1, "Seed; sample k of an image depends on the seed, k and the image"
        )
    with group("Speed"):
        define_batch_size()
        define_replicas()


def main():
    from prsr.data import inputs
    from prsr.sampling import samplers, super_resolution

    devices = backend.devices(FLAGS.num_replicas)
    workdir = trained()
    if FLAGS.align and FLAGS.input is None:
        raise UserError("--align needs --input, the image or folder to find faces in")
    hparams = workdir.read_hparams()
    sampling = sampling_from_flags(hparams)
    if FLAGS.greedy:
        sampling = dataclasses.replace(sampling, tau=float("inf"))
    num_samples = 1 if FLAGS.greedy else FLAGS.num_samples
    given = None if FLAGS.given is None else inputs.read_given(FLAGS.given, hparams)
    # Finding faces takes seconds; meanwhile the sampler compiles, for as many as there may be.
    find_eyes = inputs.eye_finder(hparams) if FLAGS.align else None
    count = inputs.count(FLAGS.input) if find_eyes else 0
    chosen = None if count else _chosen(workdir, hparams)
    count = count or len(chosen)
    hparams, model = workdir.build_model()
    low_size = hparams.data.image_size // model.scale
    shape = (min(count * num_samples, FLAGS.batch_size), low_size, low_size, model.channels)
    sampler = samplers.sampler(
        model, hparams.data.downsampling, first=(shape, sampling), devices=devices
    )
    workdir.load_weights(model)
    super_resolution.super_resolve(
        model,
        sampler,
        chosen or inputs.read_inputs(FLAGS.input, hparams, find_eyes),
        pathlib.Path(FLAGS.output),
        num_samples=num_samples,
        sampling=sampling,
        seed=FLAGS.seed,
        batch_size=FLAGS.batch_size,
        given=given,
    )


def _chosen(workdir, hparams):
    """The images to super-resolve, as a list of `inputs.Input`."""
    from prsr.data import inputs

    if FLAGS.input is not None:
        return inputs.read_inputs(FLAGS.input, hparams)
    if FLAGS.model is not None:
        return inputs.read_inputs(workdir.path / "examples", hparams)[: FLAGS.num_images]
    hparams, _ = workdir.check_images(hparams)
    return inputs.test_inputs(hparams, FLAGS.num_images)


if __name__ == "__main__":
    run(main, define)
