"""RMSProp as Table 2 used it, and its learning rate, on Keras alone."""

import keras


@keras.saving.register_keras_serializable("prsr")
class RMSProp(keras.optimizers.RMSprop):
    """RMSProp with TensorFlow 1's update.

        mean_square = rho * mean_square + (1 - rho) * gradient ** 2
        step        = momentum * step + learning_rate * gradient / sqrt(mean_square + epsilon)
        weight      = weight - step

    Keras computes the same, but starts `mean_square` at zero, where TensorFlow 1's
    `tf.train.RMSPropOptimizer`, which the paper used, starts it at one: the first steps
    are then small instead of `learning_rate / sqrt(1 - rho)` an element.

    Args:
        rms_start: where `mean_square` starts.
        **kwargs: those of `keras.optimizers.RMSprop`.
    """

    def __init__(self, *args, rms_start=1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.rms_start = rms_start

    def add_optimizer_variables(self, trainable_variables, name, initializer="zeros"):
        if name == "velocity":  # Keras' name for the mean square
            initializer = keras.initializers.Constant(self.rms_start)
        return super().add_optimizer_variables(trainable_variables, name, initializer)

    def get_config(self):
        return {**super().get_config(), "rms_start": self.rms_start}


def from_hparams(training):
    """The optimizer of a run.

    Args:
        training: `prsr.hparams.TrainingHparams`.

    Returns:
        An `RMSProp` whose learning rate is halved after every `halve_every` steps.
    """
    learning_rate = training.learning_rate * training.learning_rate_factor
    schedule = keras.optimizers.schedules.ExponentialDecay(
        learning_rate, training.halve_every, 0.5, staircase=True
    )
    return RMSProp(
        schedule,
        rho=training.rho,
        momentum=training.momentum,
        epsilon=training.epsilon,
        rms_start=training.rms_start,
        use_ema=training.ema > 0,
        ema_momentum=training.ema or 0.99,
    )
