import numpy as np
import pytest
import tensorflow as tf

from prsr.hparams import TrainingHparams
from prsr.models.rmsprop import RMSProp


def test_a_step_from_mean_square_zero_by_hand():
    """A gradient of 2 makes the mean square 0.05 * 2^2 = 0.2."""
    weight = tf.Variable([1.0])
    RMSProp(rms_start=0.0).apply([tf.constant([2.0])], [weight])
    np.testing.assert_allclose(weight, [1 - 4e-4 * 2 / np.sqrt(0.2)], rtol=1e-6)


def test_the_defaults_are_table_2_s():
    """The settings' defaults and the optimizer's are the same."""
    training, optimizer = TrainingHparams(), RMSProp()
    names = ("rho", "momentum", "epsilon", "rms_start")
    assert {n: getattr(optimizer, n) for n in names} == {n: getattr(training, n) for n in names}
    assert float(optimizer.learning_rate) == pytest.approx(training.learning_rate)


@pytest.mark.parametrize("learning_rate", [None, 0.25])
def test_the_optimizer_survives_serialisation(learning_rate):
    optimizer = RMSProp(learning_rate, rho=0.5, rms_start=0.5)
    again = RMSProp.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config() and again.rms_start == 0.5
