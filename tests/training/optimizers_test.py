import numpy as np
import tensorflow as tf

from prsr.hparams import TrainingHparams
from prsr.training import optimizers


def test_equals_the_original_optimizer():
    """Sixty steps of a least-squares problem, against TensorFlow 1's own RMSProp."""
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
        lambda: 4e-4 * 0.5 ** (int(step) // 25),
        decay=0.95,
        momentum=0.9,
        epsilon=1e-8,
    )
    for _ in range(60):
        original.apply_gradients([(gradient(expected), expected)])
        optimizer.apply([gradient(actual)], [actual])
        step.assign_add(1)
    assert np.abs(actual.numpy() - start).max() > 0.01
    # Both keep the learning rate in float32.
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-7)


def test_first_step_by_hand():
    """mean square 0.95 * 1 + 0.05 * 2^2 = 1.15; step 4e-4 * 2 / sqrt(1.15)."""
    weight = tf.Variable([1.0])
    optimizers.from_hparams(TrainingHparams()).apply([tf.constant([2.0])], [weight])
    np.testing.assert_allclose(weight, [1 - 4e-4 * 2 / np.sqrt(1.15)], rtol=1e-6)


def test_schedule_halves_at_500000():
    """The learning rate halves after every 500,000 steps, and scales with the factor."""
    factor = tf.Variable(1.0)
    optimizer = optimizers.from_hparams(TrainingHparams(), factor)

    def rate(step):
        optimizer.iterations.assign(step)
        return float(optimizer.learning_rate)

    optimizer.build([tf.Variable(0.0)])
    rates = [rate(step) for step in (0, 499_999, 500_000, 999_999, 1_000_000)]
    np.testing.assert_allclose(rates, [4e-4, 4e-4, 2e-4, 2e-4, 1e-4], rtol=1e-6)
    factor.assign(0.25)
    np.testing.assert_allclose(rate(500_000), 5e-5, rtol=1e-6)
