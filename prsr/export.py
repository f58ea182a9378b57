"""Writes a SavedModel: python -m prsr.export --workdir=RUN --output=DIR"""

import pathlib

from absl import flags

from prsr.flags import FLAGS, define_trained, run, trained


def define():
    define_trained()
    flags.DEFINE_string("output", None, "The folder to write to: DIR/1/, then DIR/2/ and so on.")
    flags.mark_flag_as_required("output")
    flags.DEFINE_bool(
        "jit_compile",
        True,
        "Let XLA compile the sampler where it is used: faster, but the first call for one image "
        "and for eight takes seconds. --nojit_compile is for programs whose TensorFlow has no XLA.",
    )


def main():
    from prsr.trained import saved_model

    hparams, model = trained().load_model()
    print("writing", flush=True)
    version = saved_model.export(hparams, model, pathlib.Path(FLAGS.output), FLAGS.jit_compile)
    print(
        f"wrote {version}; look at it with: saved_model_cli show --dir={version} "
        f"--tag_set=serve --all"
    )


if __name__ == "__main__":
    run(main, define)
