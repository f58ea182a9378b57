import dataclasses
import json

import pytest

from prsr.hparams import DataHparams, Hparams, Schedule, TrainingHparams
from prsr.system.errors import UserError


def test_settings_survive_json():
    hparams = Hparams(training=TrainingHparams(ema=0.5))
    assert Hparams.from_dict(json.loads(json.dumps(hparams.to_dict()))) == hparams


def test_settings_of_old_runs_are_read():
    """Version 0.1 called the architecture "model"."""
    saved = Hparams().to_dict()
    del saved["model"]["architecture"]
    saved["model"]["model"] = "regression"
    assert Hparams.from_dict(saved).model.architecture == "regression"


def test_a_schedule_s_numbers_are_checked():
    Schedule(tau=float("inf")).check()
    for changes in ({"log_every": 0}, {"tau": 0.0}, {"tau": float("nan")}, {"sample_images": -1}):
        with pytest.raises(UserError, match=f"{next(iter(changes))} must be"):
            Schedule(**changes).check()


def test_defaults_are_table_2s():
    hparams = Hparams()
    assert dataclasses.astuple(hparams.model)[1:] == (3, 4, 6, 32, "batch", 64, 20, 1024)
    assert hparams.model.architecture == "pixel_recursive"
    training = hparams.training
    assert (training.rho, training.momentum, training.epsilon) == (0.95, 0.9, 1e-8)
    assert (training.global_batch_size, training.train_steps) == (32, 200_000)
    assert training.conditioning_weight == 1.0  # equation 8
    assert (training.learning_rate, training.halve_every) == (4e-4, 500_000)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("global_batch_size", 0),
        ("train_steps", 0),
        ("learning_rate", -1.0),
        ("learning_rate", float("inf")),
        ("learning_rate", float("nan")),
        ("halve_every", 0),
        ("rho", 1.0),
        ("momentum", 1.0),
        ("epsilon", 0.0),
        ("rms_start", -1.0),
        ("clip_norm", -1.0),
        ("ema", 1.0),
        ("conditioning_weight", -1.0),
    ],
)
def test_numbers_that_nothing_can_be_trained_with(name, value):
    hparams = Hparams(training=dataclasses.replace(TrainingHparams(), **{name: value}))
    with pytest.raises(UserError, match=f"{name} must be"):
        hparams.check()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"levels": 1}, "levels must be 2 or more, not 1"),
        ({"levels": 257}, "levels must be at most 256, not 257"),
        ({"pairs": "corners", "image_size": 24}, "multiple of four times scale, not 24 with"),
    ],
)
def test_pairs_that_cannot_be_made(changes, word):
    with pytest.raises(UserError, match=word):
        Hparams(data=dataclasses.replace(DataHparams(), **changes)).check()
