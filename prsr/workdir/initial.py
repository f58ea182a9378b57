"""The weights that a run starts from, if not from random ones: `initial_weights`."""

import pathlib

import keras

from prsr.system.errors import UserError
from prsr.workdir import directory, pretrained

# A fresh RMSProp's first steps are several times too long: in five steps the face model lost 1.2
# bits/dim. From this start they reach their length after about 200 steps.
RMS_START = 1e6


def model_settings(where):
    """Returns the settings of a model, a dict as `prsr.hparams.ModelHparams`; empty for a file.

    Args:
        where: a run directory, a model of the package, or a `.weights.h5` file.

    Raises:
        UserError: there is nothing of the kind.
    """
    run = _run_of(where)
    return vars(run.read_hparams().model) if run else {}


def history(where):
    """Returns the history of a model, as `prsr.workdir.history` has it; empty for a file."""
    run = _run_of(where)
    return run.read_history() if run else []


def load(where, model):
    """Gives a model the weights of another, wherever a layer has the same place and shape.

    Layers that the other does not have start afresh: residual blocks as identities. They are named
    on standard output. A `.weights.h5` file says nothing about its layers, so it must fit entirely.

    Args:
        where: as for `model_settings`.
        model: a built Keras model.

    Raises:
        UserError: there are no such weights, or none of them fits.
    """
    run = _run_of(where)
    if run is None:
        directory.read_weights(pathlib.Path(where), model)
        return
    fresh = take(model, run.load_model()[1])
    if len(fresh) == len(_layers_by_name(model)):
        raise UserError(f"no layer of --initial_weights={where} has the shape of this model's")
    if fresh:
        print(f"--initial_weights={where}: these layers start afresh: {', '.join(fresh)}")


def take(model, other):
    """Copies weights from `other` to a `model` of another size; both are built.

    Returns:
        The names of the layers of `model` that found no counterpart.
    """
    known, fresh = _layers_by_name(other), []
    for name, layer in _layers_by_name(model).items():
        variables, values = layer.variables, known[name].variables if name in known else ()
        if [v.shape for v in variables] == [v.shape for v in values]:
            for variable, value in zip(variables, values):
                variable.assign(value)
            continue
        fresh.append(name)
        if hasattr(layer, "second_norm"):  # a residual block
            last = layer.second if layer.normalization == "none" else layer.second_norm
            for variable in last.trainable_variables:
                variable.assign(keras.ops.zeros(variable.shape))
    return fresh


def _layers_by_name(model):
    """Returns a dict from names such as `"A stage 2 block 7"` to layers."""
    networks = {"A": getattr(model, "conditioning", model), "B": getattr(model, "prior", None)}
    result = {}
    for letter, network in networks.items():
        found = {}
        for s, blocks in enumerate(getattr(network, "stages", []), 1):
            found |= {f"stage {s} block {b}": block for b, block in enumerate(blocks, 1)}
        for kind, name in (("upsamplings", "upsampling"), ("gated_layers", "gated layer")):
            found |= {f"{name} {i}": x for i, x in enumerate(getattr(network, kind, []), 1)}
        for name in ("stem", "vertical", "horizontal", "hidden", "logits", "residual"):
            if hasattr(network, name):
                found[name] = getattr(network, name)
        result |= {f"{letter} {name}": layer for name, layer in found.items()}
    return result


def _run_of(where):
    """The `Workdir` of a run or of a bundled model; None for a file."""
    path = pathlib.Path(where)
    if (path / "settings.json").exists():
        return directory.Workdir(path)
    if path.is_file():
        return None
    if where in pretrained.names():
        return pretrained.workdir(where)
    raise UserError(
        f"--initial_weights expects a run directory, a .weights.h5 file or a model of this package "
        f"({', '.join(pretrained.names())}), not '{where}'"
    )
