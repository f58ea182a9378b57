"""Builds the optimizer of a run."""

import keras

from prsr.models.rmsprop import RMSProp, halving


class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a factor, which may change during training.

    Args:
        schedule: a `LearningRateSchedule`.
        factor: a scalar variable.
    """

    def __init__(self, schedule, factor):
        super().__init__()
        self.schedule, self.factor = schedule, factor

    def __call__(self, step):
        return self.schedule(step) * self.factor


def from_hparams(training, rate_factor=None):
    """Returns the optimizer of a run.

    Args:
        training: `prsr.hparams.TrainingHparams`.
        rate_factor: a scalar variable that multiplies the learning rate, or None.

    Returns:
        An `RMSProp` whose learning rate is halved after every `halve_every` steps.
    """
    schedule = halving(training.learning_rate, training.halve_every)
    return RMSProp(
        schedule if rate_factor is None else Scaled(schedule, rate_factor),
        rho=training.rho,
        momentum=training.momentum,
        epsilon=training.epsilon,
        rms_start=training.rms_start,
        use_ema=training.ema > 0,
        ema_momentum=training.ema or 0.99,
    )
