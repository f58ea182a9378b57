"""What a Keras backend makes of the models: a program of its own, as KERAS_BACKEND is read once.

python tests/on_backend.py FOLDER reads given.npz and start.keras there, and writes BACKEND.npz.
"""

import pathlib
import sys

import keras
import numpy as np
from keras import ops

from prsr.models import GatedPixelCNN, likelihood
from prsr.training.callbacks import FreshStatistics
from prsr.workdir import pretrained

SHAPE = (5, 6, 3)
TAU = 1.1


def gradient(function, x):
    """Of a function of one array to a scalar, as an array; not in TensorFlow."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(function)(x))
    x = ops.convert_to_tensor(x).requires_grad_()
    function(x).backward()
    return x.grad.numpy()


def seen():
    """Which sub-pixels the logits of each depend on, bool `[positions, *SHAPE]`."""
    model = GatedPixelCNN(3, width=13, num_layers=1, hidden=25)
    model.build((None, *SHAPE))
    random = np.random.default_rng(1)  # each backend's own would differ
    model.set_weights([random.normal(0, 0.1, value.shape) for value in model.get_weights()])
    positions = np.eye(np.prod(SHAPE), dtype="float32").reshape(-1, *SHAPE, 1)
    # Fixed random weights: the sum of a softmax's logits may not cancel.
    chosen = positions * np.random.default_rng(7).normal(size=256).astype("float32")
    result = False
    # A narrow ReLU layer may be dead at a position for one image: any of four counts.
    for image in np.random.default_rng(0).uniform(0, 255, (4, *SHAPE)).astype("float32"):
        batch = np.repeat(image[None], len(positions), axis=0)
        result |= gradient(lambda y: ops.sum(ops.multiply(model(y), chosen)), batch) != 0
    return result


def draw(model, low_res, uniforms):
    """`prsr.sampling.naive.sample` on Keras' operations alone, uint8."""
    drawn = np.zeros(uniforms.shape, np.uint8)
    for place in np.ndindex(*uniforms.shape[1:]):
        at = (slice(None), *place)
        logits = ops.cast(model((low_res, drawn)).joint[at], "float32")
        weights = ops.exp(TAU * (logits - ops.max(logits, axis=-1, keepdims=True)))
        cumulative = ops.convert_to_numpy(ops.cumsum(weights, axis=-1))
        threshold = uniforms[at][:, None] * cumulative[:, -1:]
        drawn[at] = np.sum(cumulative[:, :-1] <= threshold, axis=-1)
    return drawn


def findings(folder):
    """A dict of arrays."""
    given = np.load(folder / "given.npz")
    low_res, high_res = given["low_res"], given["high_res"]
    _, faces = pretrained.workdir("faces").load_model()
    result = {"nats": likelihood.nats(faces, low_res, high_res, 16)}
    if keras.backend.backend() != "tensorflow":
        result["seen"] = seen()

    model = keras.saving.load_model(folder / "start.keras")
    low_res, high_res = low_res[:, :2, :2], high_res[:, :8, :8]
    result["drawn"] = draw(model, low_res[:2, :1, :1], given["uniforms"])
    batch = low_res[:4], high_res[:4]
    history = model.fit(
        *batch,
        batch_size=4,
        epochs=20,  # of one step
        validation_data=batch,
        callbacks=[FreshStatistics([low_res[4:]])],
        verbose=0,
    ).history
    result |= {f"history/{name}": np.array(values) for name, values in history.items()}

    kept = folder / f"kept_{keras.backend.backend()}.keras"
    model.save(kept)
    result["kept"] = likelihood.nats(keras.saving.load_model(kept), *batch, 4)
    return result


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    np.savez(folder / f"{keras.backend.backend()}.npz", **findings(folder))
