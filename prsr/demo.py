"""Serves a web page to try a model on.

python -m prsr.demo
"""

import contextlib

from prsr import flags
from prsr.flags import FLAGS
from prsr.system.errors import UserError

_EXAMPLES = 6


def define():
    flags.define_trained(required=False)
    with flags.group("Page"):
        flags.define_dataset()
        flags.define_path(
            "regression", None, "Run directory of a trained regression to show beside the samples"
        )
    flags.define_address()


def main():
    from prsr.pages import web
    from prsr.pages.demo import server
    from prsr.workdir import pretrained

    if FLAGS.workdir:
        workdirs = {"run": flags.trained()}
    else:
        names = [FLAGS.model or "faces", *pretrained.names()]
        workdirs = {name: pretrained.workdir(name) for name in names}
    choices = {name: _demo_choice(run, not i) for i, (name, run) in enumerate(workdirs.items())}
    drawers = [drawer for drawer, *_ in choices.values()]
    _ = drawers[0].model  # the others are loaded when they are chosen
    app = server.create_app(choices, FLAGS.allow_framing_by)
    listening = web.listening(app, FLAGS.host, FLAGS.port, connections=200)
    with listening as (address, serve_forever), contextlib.ExitStack() as stack:
        for drawer in drawers:
            stack.push(drawer)  # stops it at the end
        drawers[0].start()
        print(f"open {address} (Ctrl-C stops it)", flush=True)
        serve_forever()
    print("stopped")


def _demo_choice(workdir, is_first):
    """One of `server.create_app`'s; `--dataset` and `--regression` are for the first one."""
    from prsr.data import inputs
    from prsr.pages.demo import drawing

    hparams = workdir.read_hparams()
    hparams.model.require_prior("be shown on the page (a regression can be: --regression)")
    if hparams.data.pairs != "downsampled":
        raise UserError(
            f"--workdir={workdir.path} is a run of --pairs={hparams.data.pairs}, not "
            f"super-resolution; the page needs --pairs=downsampled"
        )
    regression = _demo_regression(hparams) if is_first and FLAGS.regression else None
    drawer = drawing.Drawer(hparams, lambda: workdir.load_model()[1], regression)
    examples = _demo_examples(workdir, hparams, FLAGS.dataset if is_first else None)
    find_eyes = None
    if inputs.knows_faces(hparams):
        try:
            find_eyes = inputs.eye_finder(hparams)
        except UserError:
            print("the page does not find faces; pip install -e '.[faces]' installs what it needs")
    return drawer, examples, find_eyes


def _demo_regression(hparams):
    """The model of `--regression`, which must have the sizes of the other one."""
    from prsr.workdir.directory import Workdir

    others, regression = Workdir(FLAGS.regression).load_model()
    sizes = [(h.data.image_size, h.model.scale, h.model.channels) for h in (hparams, others)]
    if others.model.architecture != "regression" or sizes[0] != sizes[1]:
        raise UserError(
            f"--regression={FLAGS.regression} is not a run of --architecture=regression with "
            f"this model's sizes"
        )
    return regression


def _demo_examples(workdir, hparams, dataset):
    """The page's first pictures, bundled or of the test split, as names and square images."""
    from prsr.data import decoding, inputs, preprocessing

    paths = sorted((workdir.path / "examples").glob("*"))
    if paths and not dataset:
        names = [" ".join(x[0].upper() + x[1:] for x in path.stem.split("_")) for path in paths]
        pictures = [decoding.decode(path, hparams.model.channels) for path in paths]
        squares = [preprocessing.crop(picture, hparams.data.crop) for picture in pictures]
        return list(zip(names, squares))
    try:
        hparams = flags.with_dataset(hparams)
        source, _ = workdir.open_images(hparams, FLAGS.all_images)
        found = inputs.test_inputs(source, hparams, _EXAMPLES)
    except UserError as error:
        print(f"the page starts without example pictures: {error}")
        return []
    return [(f"test image {i + 1}", one.high_res) for i, one in enumerate(found)]


if __name__ == "__main__":
    flags.run(main, define)
