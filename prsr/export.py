"""Writes a SavedModel, which runs without this package.

python -m prsr.export --model=faces --output=exports/faces
"""

import pathlib

from absl.flags import DEFINE_bool

from prsr import flags
from prsr.flags import FLAGS


def define():
    flags.define_trained()
    with flags.group("Export"):
        flags.define_path(
            "output",
            None,
            "Folder to write versions to: DIR/1/, then DIR/2/ and so on (required)",
            required=True,
        )
        DEFINE_bool(
            "jit_compile", True, "Compile with XLA when used: faster, after a first call of seconds"
        )


def main():
    from prsr.sampling import saved_model

    hparams, model = flags.trained().load_model()
    print("writing", flush=True)
    version = saved_model.export(hparams, model, pathlib.Path(FLAGS.output), FLAGS.jit_compile)
    print(
        f"wrote {version}; look at it with: saved_model_cli show --dir={version} "
        f"--tag_set=serve --all"
    )


if __name__ == "__main__":
    flags.run(main, define)
