"""Builds the optimizer of a run."""

from prsr.models.rmsprop import RMSProp, halving


def from_hparams(training):
    """Returns the optimizer of a run.

    Args:
        training: `prsr.hparams.TrainingHparams`.

    Returns:
        An `RMSProp` whose learning rate is halved after every `halve_every` steps.
    """
    return RMSProp(
        halving(training.learning_rate * training.learning_rate_factor, training.halve_every),
        rho=training.rho,
        momentum=training.momentum,
        epsilon=training.epsilon,
        rms_start=training.rms_start,
        use_ema=training.ema > 0,
        ema_momentum=training.ema or 0.99,
    )
