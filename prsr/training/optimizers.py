"""Builds the optimizer of a run, with Keras alone."""

import keras

from prsr.models.rmsprop import RMSProp, halving


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Table 2's learning rate, and what a run may add to it.

    Args:
        training: `prsr.hparams.TrainingHparams`.
        factor: a scalar variable that multiplies the learning rate, or 1.
    """

    def __init__(self, training, factor=1.0):
        super().__init__()
        self.training, self.factor = training, factor
        self.halving = halving(training.learning_rate, training.halve_every)

    def __call__(self, step):
        rate, training = self.halving(step) * self.factor, self.training
        if not training.fall_steps:
            return rate
        steps_left = training.train_steps - keras.ops.cast(step, rate.dtype)
        return rate * keras.ops.clip(steps_left / training.fall_steps, 0.0, 1.0)


def from_hparams(training, rate_factor=1.0):
    """Returns the `RMSProp` of a run, with the learning rate of `Schedule`."""
    return RMSProp(
        Schedule(training, rate_factor),
        rho=training.rho,
        momentum=training.momentum,
        epsilon=training.epsilon,
        rms_start=training.rms_start,
        use_ema=training.ema > 0,
        ema_momentum=training.ema or 0.99,
    )
