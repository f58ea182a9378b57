"""Selects Keras' backend and TensorFlow's devices."""

import os

from prsr.system.errors import UserError


def prepare() -> None:
    """Sets the environment that TensorFlow, Keras and HDF5 read when they are first imported."""
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # others may share a GPU
    os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")  # some file systems have no locks
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # before keras.json


def traced(function):
    """Compiles a function of tensors to a TensorFlow graph; other backends get it unchanged."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, autograph=False, reduce_retracing=True)


def require_tensorflow(what: str) -> None:
    """Raises `UserError`, saying what needs TensorFlow, if Keras has another backend."""
    try:
        import keras

        found = keras.backend.backend()
    except ModuleNotFoundError as error:  # Keras imports the backend that is set
        found = str(error.name)
    if found != "tensorflow":
        raise UserError(
            f"{what} needs TensorFlow as Keras' backend, not {found}: set KERAS_BACKEND=tensorflow"
        )


def devices(count):
    """Configures TensorFlow's devices; call it before TensorFlow computes anything.

    Args:
        count: number of devices of this machine: its first GPUs or, without a GPU, logical devices
            on the CPU (only useful for testing). 0 means all GPUs, or one CPU.

    Returns:
        The names of the devices.

    Raises:
        UserError: there are fewer GPUs.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if count > len(gpus) > 0:
        raise UserError(f"expected {count} devices, but this machine has {len(gpus)} GPU(s)")
    if gpus:
        used = gpus[: count or None]
        tf.config.set_visible_devices(used, "GPU")
        return [f"GPU:{i}" for i in range(len(used))]
    if count > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * count,
        )
    return [f"CPU:{i}" for i in range(count or 1)]
