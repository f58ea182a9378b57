"""Pixel Recursive Super Resolution (Dahl, Norouzi and Shlens, 2017).

model = prsr.load("faces")
samples = model.sample(image, num_samples=4)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prsr.system.errors import UserError
from prsr.system.version import __version__

if TYPE_CHECKING:
    from prsr.api import ExportedModel, TrainedModel

__all__ = ["UserError", "__version__", "load"]


def load(where: str | os.PathLike[str]) -> TrainedModel | ExportedModel:
    """Loads a trained model.

    Args:
        where: a run directory of `prsr.train`, a folder written by `prsr.export` (its newest
            version is loaded), or the name of a bundled model: `"faces"` or `"bedrooms"`.

    Returns:
        A `prsr.api.TrainedModel` or `prsr.api.ExportedModel`, with the same methods. It can be
        pickled: what is stored is where it was loaded from.

    Raises:
        UserError: there is no model, or it cannot be read; or your program has set Keras to another
            backend, data format or precision.
    """
    from prsr.system import backend

    backend.prepare()
    backend.require_tensorflow("prsr.load")
    from prsr import api  # TensorFlow takes seconds

    return api.load(where)
