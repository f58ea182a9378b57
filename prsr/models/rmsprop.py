"""RMSProp as Table 2 uses it. It is in `models`, so that a model compiled with it can be loaded."""

import keras

from prsr.models import layers


def halving(learning_rate=4e-4, halve_every=500_000):
    """Returns Table 2's learning rate schedule: halved after every `halve_every` steps.

    Args:
        learning_rate: learning rate of the first step.
        halve_every: interval in steps.

    Returns:
        A staircase `keras.optimizers.schedules.ExponentialDecay`.
    """
    return keras.optimizers.schedules.ExponentialDecay(
        learning_rate, halve_every, 0.5, staircase=True
    )


@layers.registered
class RMSProp(keras.optimizers.RMSprop):
    """RMSProp with TensorFlow 1's update. The defaults are Table 2's.

        mean_square = rho * mean_square + (1 - rho) * gradient ** 2
        step        = momentum * step + learning_rate * gradient / sqrt(mean_square + epsilon)
        weight      = weight - step

    Keras computes the same but starts `mean_square` at zero. TensorFlow 1's
    `tf.train.RMSPropOptimizer`, which the paper used, starts it at one: the first steps are then
    small, instead of `learning_rate / sqrt(1 - rho)` per element.

    Args:
        learning_rate: a number or a schedule; None means `halving()`.
        rho: decay of the mean square.
        momentum: decay of the steps.
        epsilon: added inside the square root.
        rms_start: initial value of `mean_square`.
        **kwargs: other arguments of `keras.optimizers.RMSprop`.
    """

    def __init__(
        self, learning_rate=None, rho=0.95, momentum=0.9, epsilon=1e-8, rms_start=1.0, **kwargs
    ):
        learning_rate = halving() if learning_rate is None else learning_rate
        super().__init__(learning_rate, rho=rho, momentum=momentum, epsilon=epsilon, **kwargs)
        self.rms_start = rms_start

    def add_optimizer_variables(self, trainable_variables, name, initializer="zeros"):
        if name == "velocity":  # Keras' name for `mean_square`
            initializer = keras.initializers.Constant(self.rms_start)
        return super().add_optimizer_variables(trainable_variables, name, initializer)

    def get_config(self):
        return {**super().get_config(), "rms_start": self.rms_start}
