"""Reads and writes the run directory, which holds everything later commands need to know.

settings.json       every hyperparameter, and the history of the training
splits.npz          which images were in which split, as digests of their names
model.weights.h5    the newest weights (or their moving average, if one is kept)
checkpoints/        the state from which training resumes
metrics.jsonl       one record of scores per line; logs/ has the same for TensorBoard
curves.png          bits per dimension against steps
samples/            image grids drawn during training
"""

import contextlib
import json
import math
import os
import pathlib
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import h5py
import keras
import numpy as np

from prsr.data import splits
from prsr.hparams import Hparams
from prsr.models import initialization
from prsr.models.build import build_model
from prsr.system import files
from prsr.system.errors import UserError, first_line
from prsr.system.version import __version__
from prsr.workdir.history import Part


class Workdir:
    """A run directory.

    Args:
        path: its path; it need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path)
        self.settings = self.path / "settings.json"
        self.splits = self.path / "splits.npz"
        self.weights = self.path / "model.weights.h5"
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self.logs = self.path / "logs"
        self.samples = self.path / "samples"
        self.curves = self.path / "curves.png"

    def read_hparams(self) -> Hparams:
        """Reads the settings of the run.

        Raises:
            UserError: there is no run here, or its settings are unreadable.
        """
        try:
            hparams = Hparams.from_dict(json.loads(self.settings.read_text("utf-8"))["hparams"])
            hparams.check()
            return hparams
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UserError(
                f"'{self.path}' is not a run directory (it has no settings.json); "
                f"create one with python -m prsr.train"
            ) from error
        except (OSError, ValueError, KeyError, TypeError, RecursionError, UserError) as error:
            raise UserError(
                f"cannot read the settings of a run from '{self.settings}' "
                f"({type(error).__name__}: {error})"
            ) from error

    def read_history(self) -> list[Part]:
        """Returns how the model was trained (`prsr.workdir.history`); empty if nobody knows."""
        try:
            return json.loads(self.settings.read_text("utf-8"))["history"]
        except (OSError, ValueError, KeyError):
            return []

    def write_hparams(self, hparams: Hparams, history: Sequence[Part] = ()) -> None:
        settings = {"prsr": __version__, "hparams": hparams.to_dict(), "history": list(history)}
        with files.disk_errors(self.path):
            files.write_text(self.settings, json.dumps(settings, indent=2) + "\n")

    def open_images(
        self, hparams: Hparams, all_images: bool = False
    ) -> tuple[Any, splits.Digest | None]:
        """Opens a data set and compares its images with the run's digest, if it has one.

        Prints any changes to standard error.

        Args:
            hparams: the run's settings, with the data set to use.
            all_images: whether a bundled model gets all images, not only those its card names.

        Returns:
            `(source, digest)`, a `prsr.data.sources.Source`, and the digest to save with
            `write_digest` when training on it.

        Raises:
            UserError: the data set cannot be opened, or as for `prsr.data.splits.check`.
        """
        from prsr.data import sources  # needs TensorFlow, which weights do not

        data = hparams.data
        source = sources.open_source(data.dataset, data.split, hparams.model.channels)
        if (known := self.path / "images.npz").exists() and not all_images:
            with np.load(known) as names:
                source.splits = splits.chosen(source.splits, names, data.dataset)
        own = self.read_hparams().data.dataset if self.settings.exists() else None
        return source, splits.check(self.splits, source, data.dataset, own)

    def write_digest(self, digest: splits.Digest | None) -> None:
        """Writes the digest of the images that the run is trained on, if they have names."""
        if digest is None:
            return
        with files.disk_errors(self.path), files.replacing(self.splits) as partial:
            digest.save(partial)

    def lock(self) -> AbstractContextManager[None]:
        """Makes the directory and locks it against other trainers."""
        return files.lock(self.path, "training in")

    def save_weights(self, model: keras.Model) -> None:
        """Writes the model's weights atomically.

        Raises:
            OSError: the disk is full, or permission is denied.
        """
        needed = 6 * model.count_params() + 2**20  # float32 plus HDF5's overhead
        if shutil.disk_usage(self.path).free < needed:  # HDF5 may crash on a full disk
            raise OSError(f"less than {needed:,} bytes free for {self.weights.name}")
        with files.replacing(self.weights) as partial:
            try:
                model.save_weights(partial)
            except RuntimeError as error:  # what HDF5 raises when the disk is full
                raise OSError(first_line(error)) from error

    def load_model(self) -> tuple[Hparams, keras.Model]:
        """Loads the trained model, in float32.

        Returns:
            `(hparams, model)`.

        Raises:
            UserError: as for `build_model` and `load_weights`.
        """
        hparams, model = self.build_model()
        self.load_weights(model)
        return hparams, model

    def build_model(self) -> tuple[Hparams, keras.Model]:
        """Builds the model without reading its weights, for work that needs only their shapes.

        Returns:
            `(hparams, model)`.

        Raises:
            UserError: there are no settings, or no weights yet.
        """
        hparams = self.read_hparams()
        if not self.weights.is_file():
            raise UserError(
                f"'{self.path}' has no weights yet (no model.weights.h5); train it longer"
            )
        with initialization.skip_initialization():
            return hparams, build_model(hparams)

    def load_weights(self, model: keras.Model) -> None:
        """Reads the trained weights into a model from `build_model`.

        Raises:
            UserError: the weights are damaged, or belong to another architecture.
        """
        read_weights(self.weights, model)

    def append_metrics(self, record: dict[str, Any]) -> None:
        with open(self.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """Returns the records so far, in order."""
        if not self.metrics.exists():
            return []
        records = []
        for line in self.metrics.read_text("utf-8", "replace").splitlines():
            with contextlib.suppress(ValueError):  # the run was killed while writing this line
                records.append(json.loads(line))
        return records

    def forget_metrics_after(self, step: int) -> None:
        """Drops records written after the checkpoint from which the run resumes."""
        kept = [json.dumps(line) + "\n" for line in self.read_metrics() if line["step"] <= step]
        files.write_text(self.metrics, "".join(kept))


def read_weights(path: pathlib.Path, model: keras.Model) -> None:
    """Reads a `.weights.h5` file into a built model.

    Raises:
        UserError: it holds the weights of another model, or is damaged.
    """
    try:
        found = {}
        with h5py.File(path) as file:
            # Links are not followed, so arrays in other files count as missing.
            file.visititems(lambda name, item: found.update({name: getattr(item, "size", None)}))
        # After `fit`, the file also holds the optimizer's arrays, which Keras then ignores.
        sizes = [size for name, size in found.items() if not name.startswith("optimizer/")]
        sizes = sorted(size for size in sizes if size is not None)
        expected = sorted(math.prod(variable.shape) for variable in model.variables)
        if sizes != expected:  # Keras accepts surplus or oversized weights
            raise ValueError(f"{len(sizes)} arrays of other sizes, for {len(expected)} variables")
        model.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds
        raise UserError(
            f"'{path}' does not hold the weights that the settings describe: {first_line(error)}"
        ) from error
