"""Which of Keras' backends computes."""

from prsr.errors import UserError


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
