"""The models that come with the package, trained: `--model=faces`.

prsr/weights/NAME/ is a run directory without its history, and what a stranger needs beside:

settings.json, model.weights.h5   as training left them
SHA256SUMS                        of these two, as sha256sum writes it
examples/                         a few photographs in the public domain, to try the model on
MODEL_CARD.md                     data, training, results, limits

The checksums find files that were damaged or mixed up. Against who can replace them, too, they
are no help, but there is little to gain: weights are arrays and settings JSON, which run no code.
"""

import hashlib
import pathlib

from prsr.errors import UserError
from prsr.trained.workdir import Workdir

_WEIGHTS = pathlib.Path(__file__).parent.parent / "weights"
_CHECKED = ("settings.json", "model.weights.h5")


def names() -> list[str]:
    """Their names, sorted."""
    return sorted(path.name for path in _WEIGHTS.iterdir() if path.is_dir())


def workdir(name: str) -> Workdir:
    """The run directory of a model of the package, after a look at its checksums.

    Args:
        name: one of `names()`.

    Returns:
        A `prsr.trained.workdir.Workdir`, to be read only.

    Raises:
        UserError: there is no such model, or its files are not those that were shipped.
    """
    if name not in names():
        raise UserError(
            f"no model '{name}' comes with this package, which has {', '.join(names())}; "
            f"a run of your own is named by its directory"
        )
    folder = _WEIGHTS / name
    try:
        lines = (folder / "SHA256SUMS").read_text().splitlines()
        digests = {file: digest for digest, file in map(str.split, lines)}
        for file in _CHECKED:
            if hashlib.sha256((folder / file).read_bytes()).hexdigest() != digests.get(file):
                raise UserError(
                    f"'{folder / file}' is not the file that was shipped (its SHA-256 differs); "
                    f"install prsr again"
                )
    except (OSError, ValueError) as error:
        raise UserError(
            f"the package's model '{name}' is incomplete ({error}); install prsr again"
        ) from error
    return Workdir(folder)
