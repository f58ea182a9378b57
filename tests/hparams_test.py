import dataclasses

import pytest

from prsr.hparams import DataHparams, Hparams, ModelHparams, Sampling, Schedule, TrainingHparams
from prsr.system.errors import UserError


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
    ("settings", "name"),
    [
        *((TrainingHparams(**{name: value}), name) for name, value in (
            ("global_batch_size", 0), ("train_steps", 0), ("learning_rate", -1.0),
            ("learning_rate", float("inf")), ("learning_rate", float("nan")), ("halve_every", 0),
            ("rho", 1.0), ("momentum", 1.0), ("epsilon", 0.0), ("rms_start", -1.0),
            ("clip_norm", -1.0), ("ema", 1.0), ("conditioning_weight", -1.0),
        )),
        (DataHparams(levels=1), "levels"),
        (DataHparams(levels=257), "levels"),
        (DataHparams(pairs="corners", image_size=24), "image_size"),
        (Schedule(log_every=0), "log_every"),
        (Schedule(tau=0.0), "tau"),
        (Schedule(tau=float("nan")), "tau"),
        (Schedule(sample_images=-1), "sample_images"),
        (Sampling(guidance=-1.0), "guidance"),
    ],
)  # fmt: skip
def test_numbers_out_of_bounds_are_refused_by_name(settings, name):
    section = {DataHparams: "data", TrainingHparams: "training"}.get(type(settings))
    with pytest.raises(UserError, match=name):
        (Hparams(**{section: settings}) if section else settings).check()


def test_only_pixel_recursive_models_have_a_prior():
    ModelHparams().require_prior("be drawn with guidance")
    with pytest.raises(UserError, match="guidance.* regression"):
        ModelHparams("regression").require_prior("be drawn with guidance")
