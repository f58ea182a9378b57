"""Trains for fifty steps on one device and on eight logical ones, and prints what differs.

A program of its own: how many devices there are must be said before TensorFlow starts.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

STEPS, REPLICAS = 50, 8

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * REPLICAS
)

from prsr.hparams import DataHparams, Hparams, ModelHparams, TrainingHparams  # noqa: E402
from prsr.training import optimizers  # noqa: E402
from prsr.training.trainer import Trainer  # noqa: E402
from tests.runs import images  # noqa: E402

HPARAMS = Hparams(
    ModelHparams(
        blocks_per_stage=1, conditioning_width=4, prior_width=6, prior_layers=1, prior_hidden=6
    ),
    DataHparams(dataset="drawn:60", image_size=8, mirror=True),
    TrainingHparams(global_batch_size=16),
)


def train(strategy):
    """Scores of each step, and every variable of the model at the end."""
    trainer = Trainer(HPARAMS, images(HPARAMS.data), strategy)
    start = [variable.numpy() for variable in trainer.model.trainable_variables]
    batches = iter(trainer.batches())
    scores = [trainer.train_step(next(batches)) for _ in range(STEPS)]
    moved = [
        np.max(np.abs(variable.numpy() - before))
        for variable, before in zip(trainer.model.trainable_variables, start)
    ]
    weights = {
        f"{number} {variable.name}": variable.numpy()
        for number, variable in enumerate(trainer.model.variables)
    }
    return {k: np.array([float(s[k]) for s in scores]) for k in scores[0]}, weights, max(moved)


if sys.argv[1] == "sgd":
    optimizers.from_hparams = lambda *_: keras.optimizers.SGD(1e-5)
one, two = train(None), train(tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(REPLICAS)]))
differences = {name: np.max(np.abs(two[0][name] / one[0][name] - 1)) for name in one[0]}
for name, value in one[1].items():  # as a part of what training did
    differences[name] = np.max(np.abs(two[1][name] - value)) / one[2]
print(
    json.dumps(
        {
            "steps": STEPS,
            "replicas": REPLICAS,
            "moved": float(one[2]),
            "differences": {name: float(value) for name, value in differences.items()},
        }
    )
)
