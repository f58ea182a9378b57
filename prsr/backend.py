"""Which of Keras' backends computes."""

import os

from prsr.errors import UserError


def prepare() -> None:
    """Sets the environment that TensorFlow, Keras and HDF5 read when they are first imported."""
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # others may share a GPU
    os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")  # some file systems have no locks
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # before keras.json


def require_tensorflow(what: str) -> None:
    """Refuses another backend than TensorFlow.

    Args:
        what: needs it, for the message.

    Raises:
        UserError: Keras was told to compute with another.
    """
    try:
        import keras

        found = keras.backend.backend()
    except ModuleNotFoundError as error:  # Keras imports the backend that it is told to use
        found = str(error.name)
    if found != "tensorflow":
        raise UserError(
            f"{what} needs TensorFlow as Keras' backend, not {found}: set KERAS_BACKEND=tensorflow"
        )
