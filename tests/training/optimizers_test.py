import numpy as np
import tensorflow as tf

from prsr.hparams import TrainingHparams
from prsr.training import optimizers


def test_the_optimizer_equals_tensorflow_1_s():
    """Both take sixty steps of a least-squares problem."""
    random = np.random.default_rng(0)
    target, start = random.normal(size=(2, 5, 4))
    training = TrainingHparams(halve_every=25)

    def gradient(weight):
        return 2 * (weight - target)

    expected = tf.Variable(start)
    actual = tf.Variable(start)
    optimizer = optimizers.from_hparams(training)
    step = tf.Variable(0, dtype=tf.int64)
    original = tf.compat.v1.train.RMSPropOptimizer(
        lambda: 4e-4 * 0.5 ** (int(step) // 25), decay=0.95, momentum=0.9, epsilon=1e-8
    )
    for _ in range(60):
        original.apply_gradients([(gradient(expected), expected)])
        optimizer.apply([gradient(actual)], [actual])
        step.assign_add(1)
    assert np.abs(actual.numpy() - start).max() > 0.01
    # Both keep the learning rate in float32.
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-7)


def rates(training, steps, factor=1.0):
    optimizer = optimizers.from_hparams(training, factor)
    optimizer.build([tf.Variable(0.0)])
    found = []
    for step in steps:
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    return found


def test_learning_rate_halves_and_scales():
    """The rate halves after every 500,000 steps (Table 2), times the factor."""
    steps = (0, 499_999, 500_000, 999_999, 1_000_000)
    expected = np.array([4e-4, 4e-4, 2e-4, 2e-4, 1e-4])
    np.testing.assert_allclose(rates(TrainingHparams(), steps), expected, rtol=1e-6)
    factor = tf.Variable(0.25)
    np.testing.assert_allclose(rates(TrainingHparams(), steps, factor), expected / 4, rtol=1e-6)


def test_learning_rate_falls_to_zero_over_the_last_steps():
    """Of 100 steps, the last 40 are taken at a rate that falls linearly."""
    training = TrainingHparams(train_steps=100, fall_steps=40, learning_rate=1.0)
    found = rates(training, (0, 60, 70, 99, 100))
    np.testing.assert_allclose(found, [1, 1, 0.75, 1 / 40, 0], rtol=1e-6)
