import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from prsr.data import pipeline
from prsr.hparams import DataHparams, Hparams, ModelHparams, TrainingHparams
from prsr.system.errors import UserError
from prsr.training.trainer import Trainer
from tests.conftest import mirrored
from tests.data.pictures import load

HPARAMS = Hparams(
    ModelHparams(
        blocks_per_stage=1, conditioning_width=4, prior_width=6, prior_layers=1, prior_hidden=6
    ),
    DataHparams(dataset="drawn:60", image_size=8),
    TrainingHparams(global_batch_size=4),
)


def hparams(normalization="batch", **options):
    return dataclasses.replace(
        HPARAMS,
        model=dataclasses.replace(HPARAMS.model, normalization=normalization),
        training=dataclasses.replace(HPARAMS.training, **options),
    )


@pytest.fixture(scope="module")
def train_set():
    return load(HPARAMS.data)


@pytest.fixture(scope="module")
def trainer_of(train_set):
    return lambda settings, strategy=None: Trainer(settings, train_set, strategy)


@pytest.fixture(scope="module")
def averaged(trainer_of):
    """For a number of devices: a trainer with a moving average, and its weights in four steps."""

    @functools.cache
    def train(devices):
        trainer = trainer_of(hparams(ema=DECAY), mirrored() if devices == 2 else None)
        seen = []
        for _ in range(4):
            steps(trainer, 1)
            seen.append(weights(trainer))
        return trainer, seen

    return train


DECAY = 0.8


def steps(trainer, count):
    batches = iter(trainer.batches())
    return [trainer.train_step(next(batches)) for _ in range(count)]


def weights(trainer):
    return [variable.numpy() for variable in trainer.model.trainable_variables]


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_a_step_is_equation_8_or_7_and_rmsprop(trainer_of, train_set, weight):
    """One step equals the loss written out and TensorFlow 1's update by hand."""
    trainer = trainer_of(hparams("none", conditioning_weight=weight))
    before = weights(trainer)
    low_res, high_res = next(iter(pipeline.training_pairs(train_set, HPARAMS.data, 4, 4, seed=1)))
    variables = [variable.value for variable in trainer.model.trainable_variables]
    with tf.GradientTape() as tape:
        a, b = trainer.model.conditioning(low_res), trainer.model.prior(high_res)
        chosen = tf.one_hot(tf.cast(high_res, tf.int32), 256)
        terms = tf.reduce_sum(chosen * ((1 + weight) * a + b), -1)
        terms -= tf.reduce_logsumexp(a + b, -1) + weight * tf.reduce_logsumexp(a, -1)
        loss = -tf.reduce_sum(terms) / 4  # nats per image, mean over the batch
    gradients = tape.gradient(loss, variables)
    scores = trainer.train_step((low_res, high_res))
    np.testing.assert_allclose(scores["joint"] + weight * scores["conditioning"], loss, rtol=1e-5)
    np.testing.assert_allclose(scores["gradient_norm"], tf.linalg.global_norm(gradients), rtol=1e-4)
    for old, gradient, new in zip(before, gradients, weights(trainer)):
        expected = old - 4e-4 * gradient / tf.sqrt(0.95 + 0.05 * gradient**2)
        np.testing.assert_allclose(new, expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("kind", ["regression", "cross_entropy"])
def test_a_baseline_is_trained_on_its_own_loss(trainer_of, kind):
    settings = hparams("none", learning_rate=5e-3)
    settings = dataclasses.replace(
        settings, model=dataclasses.replace(settings.model, architecture=kind)
    )
    trainer = trainer_of(settings)
    low_res, high_res = next(iter(trainer.pairs()))

    def loss():
        if kind == "regression":
            error = trainer.model(low_res) - tf.cast(high_res, tf.float32) / 255
            return tf.reduce_sum(error**2) / 4
        labels = tf.one_hot(tf.cast(high_res, tf.int32), 256)
        return -tf.reduce_sum(labels * tf.nn.log_softmax(trainer.model(low_res))) / 4

    with tf.GradientTape() as tape:
        value = loss()
    variables = [variable.value for variable in trainer.model.trainable_variables]
    expected = tf.linalg.global_norm(tape.gradient(value, variables))
    scores = steps(trainer, 120)
    name = "squared_error" if kind == "regression" else "conditioning"
    np.testing.assert_allclose(scores[0][name], value, rtol=1e-4)
    np.testing.assert_allclose(scores[0]["gradient_norm"], expected, rtol=1e-3)
    first, last = (np.mean([s[name] for s in part]) for part in (scores[:15], scores[-15:]))
    assert last < 0.98 * first


@pytest.mark.parametrize(
    ("normalization", "rms_start"),
    [("batch", 1.0), ("batch", 1e6), pytest.param("none", 1.0, marks=pytest.mark.slow)],
)
def test_two_replicas_equal_one_device(trainer_of, normalization, rms_start):
    """Losses, gradient norms, weights and batch statistics are the same.

    From 1e6, RMSProp does not divide by the gradient's size, which would hide a wrong scale.
    """
    rate = 4e-4 * rms_start**0.5
    settings = hparams(normalization, clip_norm=100.0, rms_start=rms_start, learning_rate=rate)
    one, two = trainer_of(settings), trainer_of(settings, mirrored())
    expected, actual = steps(one, 5), steps(two, 5)
    for name in expected[0]:
        np.testing.assert_allclose(
            [s[name] for s in actual], [s[name] for s in expected], rtol=2e-3, err_msg=name
        )
    for a, b in zip(two.model.variables, one.model.variables):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=2e-4)


@pytest.mark.parametrize("devices", [1, 2])
def test_devices_score_a_split_of_any_size(trainer_of, train_set, devices):
    trainer = trainer_of(hparams(), mirrored() if devices == 2 else None)
    for count in (1, 4, 7):
        part = train_set.first(count)
        low_res, high_res, _ = next(iter(pipeline.evaluation_pairs(part, HPARAMS.data, 4, count)))
        scores = trainer.evaluate(trainer.evaluation_batches(part))
        with trainer.evaluation_weights():
            log_likelihood = trainer.model.log_likelihood(low_res, high_res)
        assert scores["joint"] == pytest.approx(-np.mean(log_likelihood), rel=1e-5)


def test_eight_replicas_equal_one_device(trainer_of):
    """Losses, gradient norms and weights are the same after two steps."""
    settings = hparams("none", global_batch_size=8, rms_start=1e6, learning_rate=0.4)
    smaller = dataclasses.replace(settings.model, blocks_per_stage=0)  # each is traced for seconds
    settings = dataclasses.replace(settings, model=smaller)
    one, many = trainer_of(settings), trainer_of(settings, mirrored(8))
    for expected, actual in zip(steps(one, 2), steps(many, 2)):
        assert actual == pytest.approx(expected, rel=1e-4)
    for a, b in zip(weights(many), weights(one)):
        np.testing.assert_allclose(a, b, atol=2e-4)


def test_clipping_bounds_the_gradient(trainer_of):
    """With the norm clipped to almost nothing, so is the step."""
    trainer = trainer_of(hparams(clip_norm=1e-6))
    before = weights(trainer)
    (scores,) = steps(trainer, 1)
    assert scores["gradient_norm"] > 1
    moved = np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(weights(trainer), before)))
    # 4e-4 * 1e-6 / sqrt(0.95) is below float32's resolution of the weights.
    assert moved < 1e-6


@pytest.mark.parametrize("devices", [1, 2])
def test_evaluation_uses_the_moving_average(averaged, devices):
    trainer, seen = averaged(devices)
    expected = seen[0]  # Keras starts the average at the first update
    for now in seen[1:]:
        expected = [DECAY * a + (1 - DECAY) * w for a, w in zip(expected, now)]
    with trainer.evaluation_weights():
        for a, b in zip(weights(trainer), expected):
            np.testing.assert_allclose(a, b, atol=1e-6)
    for a, b in zip(weights(trainer), seen[-1]):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "option", ["mixed_precision", pytest.param("jit_compile", marks=pytest.mark.slow)]
)
def test_options_learn_as_fast_as_the_plain_step(trainer_of, option):
    """The loss falls by as much."""
    fell = []
    for options in ({}, {option: True}):
        scores = steps(trainer_of(hparams(learning_rate=2e-3, **options)), 30)
        fell.append(1 - np.mean([s["joint"] for s in scores[-5:]]) / scores[0]["joint"])
    assert fell[0] > 0.03
    assert fell[1] == pytest.approx(fell[0], rel=0.1)


def test_a_checkpoint_restores_everything(averaged, tmp_path):
    """Weights, batch statistics, the optimizer's slots and its step are restored."""
    trainer, _ = averaged(devices=1)
    variables = [*trainer.model.variables, *trainer.optimizer.variables]
    path = trainer.checkpoint.save(str(tmp_path / "ckpt"))
    kept = [variable.numpy() for variable in variables]
    for variable in variables:
        variable.assign(keras.ops.ones_like(variable) * 77)
    trainer.checkpoint.restore(path).assert_consumed()
    for variable, value in zip(variables, kept):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    statistics = [v for v in variables if "moving_variance" in v.path]
    assert len(statistics) == 6 and all(np.any(v.numpy() != 1) for v in statistics)


def test_a_checkpoint_of_two_devices_loads_on_one(trainer_of, averaged, tmp_path):
    two, _ = averaged(devices=2)
    path = two.checkpoint.save(str(tmp_path / "ckpt"))
    keras.utils.set_random_seed(99)
    one = trainer_of(hparams(ema=DECAY))
    one.checkpoint.restore(path).assert_consumed()
    assert one.step == 4
    for a, b in zip(weights(one), weights(two)):
        np.testing.assert_array_equal(a, b)


def test_settings_that_devices_cannot_share_are_refused(trainer_of):
    with pytest.raises(UserError, match="global_batch_size=5"):
        trainer_of(hparams(global_batch_size=5), mirrored())
    with pytest.raises(UserError, match="jit_compile"):
        trainer_of(hparams(jit_compile=True), mirrored())
    settings = hparams(jit_compile=True)
    regression = dataclasses.replace(settings.model, architecture="regression")
    with pytest.raises(UserError, match="regression"):
        trainer_of(dataclasses.replace(settings, model=regression))
