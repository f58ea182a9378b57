"""The weights that a run starts from, if not from random ones: `initial_weights`."""

import pathlib

from prsr.system.errors import UserError
from prsr.workdir import directory as workdir
from prsr.workdir import pretrained

# A fresh RMSProp's first steps are several times too long: in five steps the face model lost 1.2
# bits/dim. From this start they reach their length after about 200 steps.
RMS_START = 1e6


def model_settings(where):
    """The settings that a model brings along.

    Args:
        where: a run directory, a model of the package, or a `.weights.h5` file.

    Returns:
        A dict of the fields of `prsr.hparams.ModelHparams`; empty for a file, which has none.

    Raises:
        UserError: there is nothing of the kind.
    """
    run = _run(where)
    return vars(run.read_hparams().model) if run else {}


def load(where, model):
    """Reads weights into a model.

    Args:
        where: as `model_settings`.
        model: a built Keras model.

    Raises:
        UserError: there are no such weights, or they belong to another model.
    """
    run = _run(where)
    workdir.read_weights(run.weights if run else pathlib.Path(where), model)


def _run(where):
    """The `Workdir` of a run or of a bundled model; None for a file."""
    path = pathlib.Path(where)
    if (path / "settings.json").exists():
        return workdir.Workdir(path)
    if path.is_file():
        return None
    if where in pretrained.names():
        return pretrained.workdir(where)
    raise UserError(
        f"--initial_weights expects a run directory, a .weights.h5 file or a model of this package "
        f"({', '.join(pretrained.names())}), not '{where}'"
    )
