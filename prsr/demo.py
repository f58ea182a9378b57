"""Serves a web page to try a model on.

python -m prsr.demo --model=faces
"""

from prsr.flags import (
    FLAGS,
    define_address,
    define_dataset,
    define_path,
    define_trained,
    group,
    run,
    trained,
    with_dataset,
)
from prsr.system.errors import UserError

_EXAMPLES = 6


def define():
    define_trained()
    with group("Page"):
        define_dataset()
        define_path(
            "regression", None, "Run directory of a trained regression to show beside the samples"
        )
    define_address()


def main():
    from prsr.pages import web
    from prsr.pages.demo import drawing, server
    from prsr.workdir.directory import Workdir

    workdir = trained()
    hparams, model = workdir.load_model()
    hparams.model.require_prior("be shown on the page (a regression can be: --regression)")
    if hparams.data.pairs != "downsampled":
        raise UserError(
            f"--workdir={workdir.path} is a run of --pairs={hparams.data.pairs}, not "
            f"super-resolution; the page needs --pairs=downsampled"
        )
    regression = None
    if FLAGS.regression:
        others, regression = Workdir(FLAGS.regression).load_model()
        sizes = [(h.data.image_size, h.model.scale, h.model.channels) for h in (hparams, others)]
        if others.model.architecture != "regression" or sizes[0] != sizes[1]:
            raise UserError(
                f"--regression={FLAGS.regression} is not a run of --architecture=regression with "
                f"this model's sizes"
            )
    examples = _examples(workdir, hparams)
    drawer = drawing.Drawer(hparams, model, regression)
    app = server.create_app(drawer, examples, *_faces(hparams), FLAGS.allow_framing_by)
    listening = web.listening(app, FLAGS.host, FLAGS.port, connections=200)
    with listening as (address, serve_forever), drawer:
        print(f"open {address} (Ctrl-C stops it)", flush=True)
        serve_forever()
    print("stopped")


def _examples(workdir, hparams):
    """The page's first pictures, bundled or of the test split, as names and square images."""
    from prsr.data import decoding, inputs, preprocessing

    if FLAGS.model is not None and not FLAGS.dataset:
        paths = sorted((workdir.path / "examples").glob("*.jpg"))
        names = [path.stem.replace("_", " ").title() for path in paths]
        pictures = [decoding.decode(path, hparams.model.channels) for path in paths]
        squares = [preprocessing.crop(picture, hparams.data.crop) for picture in pictures]
        return list(zip(names, squares))
    try:
        hparams = with_dataset(hparams)
        source, _ = workdir.open_images(hparams, FLAGS.all_images)
        found = inputs.test_inputs(source, hparams, _EXAMPLES)
    except UserError as error:
        print(f"the page starts without example pictures: {error}")
        return []
    return [(f"test image {i + 1}", one.high_res) for i, one in enumerate(found)]


def _faces(hparams):
    """Whether this is a model of faces, and a face finder, or None if it is not installed."""
    from prsr.data import inputs

    if not inputs.knows_faces(hparams):
        return False, None
    try:
        return True, inputs.eye_finder(hparams)
    except UserError:
        print("the page does not find faces; pip install -e '.[faces]' installs what that needs")
        return True, None


if __name__ == "__main__":
    run(main, define)
