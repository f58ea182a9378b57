"""Finds the trained models that come with the package, such as `model=faces`.

prsr/weights/NAME/ is a run directory without its history, plus examples and a model card:

settings.json, model.weights.h5   as training left them, with the recommended sampling
images.npz                        the images of each split: CelebA's numbers, LSUN's keys
SHA256SUMS                        of these three files, as sha256sum writes it
examples/                         a few images to try the model on
MODEL_CARD.md                     data, training, results, limits

The checksums detect damaged or mismatched files. They do not protect against an attacker, who could
replace them too; but the weights are arrays and the settings JSON, so neither can run code.
"""

import hashlib
import pathlib

from prsr.system.errors import UserError
from prsr.workdir.directory import Workdir

_WEIGHTS = pathlib.Path(__file__).parent.parent / "weights"
_CHECKED = ("settings.json", "model.weights.h5", "images.npz")


def names() -> list[str]:
    """Returns the sorted names of the bundled models."""
    return sorted(path.name for path in _WEIGHTS.iterdir() if path.is_dir())


def workdir(name: str) -> Workdir:
    """Returns the run directory of one of `names()`, to be read, after verifying its checksums.

    Raises `UserError` if there is no such model, or its files were changed.
    """
    if name not in names():
        raise UserError(
            f"there is no bundled model '{name}'; choose from {', '.join(names())}, or give a "
            f"run directory"
        )
    folder = _WEIGHTS / name
    try:
        lines = (folder / "SHA256SUMS").read_text("utf-8").splitlines()
        digests = {file: digest for digest, file in map(str.split, lines)}
        for file in _CHECKED:
            if hashlib.sha256((folder / file).read_bytes()).hexdigest() != digests.get(file):
                raise UserError(
                    f"'{folder / file}' is not the file that was shipped (its SHA-256 differs); "
                    f"reinstall prsr"
                )
    except (OSError, ValueError) as error:
        raise UserError(
            f"the bundled model '{name}' is incomplete ({error}); reinstall prsr"
        ) from error
    return Workdir(folder)
