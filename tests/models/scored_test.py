"""Keras' `fit` and `evaluate` on the models."""

import dataclasses
import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from prsr.models import RMSProp
from prsr.models.build import build_model
from prsr.training.callbacks import FreshStatistics
from prsr.training.trainer import Trainer
from tests.conftest import mirrored
from tests.data.pictures import load
from tests.training.trainer_test import HPARAMS

ARCHITECTURES = ("pixel_recursive", "cross_entropy", "regression")
STEPS = 10


def hparams(architecture):
    model = dataclasses.replace(HPARAMS.model, architecture=architecture)
    return dataclasses.replace(HPARAMS, model=model)


@pytest.fixture(scope="module")
def train_set():
    return load(HPARAMS.data)


def compiled(architecture="pixel_recursive", **options):
    keras.utils.set_random_seed(HPARAMS.training.seed)
    model = build_model(hparams(architecture))
    model.compile(optimizer=RMSProp(**options))
    return model


@pytest.fixture(scope="module")
def fitted(train_set):
    """For an architecture: a model after some steps of `fit`, and its history."""

    @functools.cache
    def fit(architecture):
        model, pairs = compiled(architecture), Trainer(hparams(architecture), train_set).pairs()
        # An epoch is a step: what is reported is a mean over the epoch.
        return model, model.fit(pairs, epochs=STEPS, steps_per_epoch=1, verbose=0).history

    return fit


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_fit_equals_the_trainer(train_set, fitted, architecture):
    """Losses, scores and weights of `fit` on one device are the trainer's."""
    trainer = Trainer(hparams(architecture), train_set)
    batches = iter(trainer.batches())
    expected = [trainer.train_step(next(batches)) for _ in range(STEPS)]
    for scores in expected:
        del scores["gradient_norm"]
    model, history = fitted(architecture)
    np.testing.assert_allclose(
        history["loss"], [float(trainer.model.objective(scores)) for scores in expected], rtol=1e-5
    )
    named = [trainer.model.readable(scores, trainer.image_shape) for scores in expected]
    assert history.keys() == {"loss", *named[0]}
    for name in named[0]:
        np.testing.assert_allclose(history[name], [s[name] for s in named], rtol=1e-5)
    for a, b in zip(model.variables, trainer.model.variables):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5, err_msg=a.path)


def test_fit_on_two_devices_equals_fit_on_one(train_set, fitted):
    trainer = Trainer(hparams("pixel_recursive"), train_set)
    _, expected = fitted("pixel_recursive")
    with mirrored().scope():
        model = compiled()
    fresh = FreshStatistics(trainer.statistics_batches)
    history = model.fit(
        trainer.pairs(), epochs=STEPS, steps_per_epoch=1, verbose=0, callbacks=[fresh]
    ).history
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=2e-4, err_msg=name)


def test_evaluate_reports_bits_per_dim(train_set):
    model = compiled()
    low_res, high_res = next(iter(Trainer(HPARAMS, train_set).pairs()))
    found = model.evaluate(low_res, high_res, batch_size=3, return_dict=True, verbose=0)
    for name, nats in model.scores(low_res, high_res).items():
        bits = np.mean(nats) / (math.log(2) * 8 * 8 * 3)
        np.testing.assert_allclose(found[f"bits_per_dim/{name}"], bits, rtol=1e-5)
    weight = np.array([1.0, 0.0, 0.0, 0.0])
    found = model.evaluate(low_res, high_res, sample_weight=weight, return_dict=True, verbose=0)
    first = -float(model.log_likelihood(low_res, high_res)[0])
    np.testing.assert_allclose(found["nats_per_image"], first, rtol=1e-5)


def test_keras_callbacks_stop_save_and_resume(train_set, tmp_path):
    """They monitor the model's scores."""
    trainer = Trainer(HPARAMS, train_set)
    validation = trainer.pairs().take(2).cache()
    callbacks = [
        FreshStatistics(trainer.statistics_batches),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "best.keras", "val_bits_per_dim/joint", mode="min", save_best_only=True
        ),
        keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False),
        keras.callbacks.EarlyStopping(
            "val_bits_per_dim/joint", mode="min", patience=0, min_delta=100.0
        ),
    ]
    model = compiled()
    model.run_eagerly = True  # a few steps are taken before a graph is traced
    arguments = {"epochs": 5, "steps_per_epoch": 2, "verbose": 0, "callbacks": callbacks}
    history = model.fit(trainer.pairs(), validation_data=validation, **arguments).history
    assert len(history["loss"]) == 2  # EarlyStopping
    best = keras.saving.load_model(tmp_path / "best.keras")
    found = best.evaluate(validation, return_dict=True, verbose=0)
    expected = min(history["val_bits_per_dim/joint"])
    np.testing.assert_allclose(found["bits_per_dim/joint"], expected, rtol=1e-5)
    again = compiled()
    resumed = again.fit(trainer.pairs(), **{**arguments, "epochs": 3, "callbacks": callbacks[2:3]})
    assert resumed.epoch == [2] and int(again.optimizer.iterations) == 6


def test_metrics_are_not_saved():
    """They are neither in a checkpoint nor in a file."""
    model = compiled()
    assert not any("total" in variable.path for variable in model.variables)
    assert all(isinstance(value, tf.Variable) for value in [v.value for v in model.variables])
    assert {metric.name for metric in model.metrics} >= {"loss", "bits_per_dim/prior"}
