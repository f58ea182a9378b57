"""Which of Keras' backends computes, and on what."""

import os

from prsr.errors import UserError


def prepare() -> None:
    """Sets the environment that TensorFlow, Keras and HDF5 read when they are first imported."""
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # others may share a GPU
    os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")  # some file systems have no locks
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # before keras.json


def traced(function):
    """A function of tensors as a TensorFlow graph; with another backend as it is."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, autograph=False, reduce_retracing=True)


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


def devices(count):
    """Makes devices of this machine known to TensorFlow, before it has computed anything.

    Args:
        count: its first so many GPUs, or, where there is none, so many logical devices on the CPU,
            which are good for trying only. 0: all GPUs, or one CPU.

    Returns:
        Their names.

    Raises:
        UserError: there are not so many GPUs.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if count > len(gpus) > 0:
        raise UserError(f"{count} devices were asked for, and this machine has {len(gpus)} GPU(s)")
    if gpus:
        count = count or len(gpus)
        tf.config.set_visible_devices(gpus[:count], "GPU")
        return [f"GPU:{i}" for i in range(count)]
    count = count or 1
    if count > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * count,
        )
    return [f"CPU:{i}" for i in range(count)]
