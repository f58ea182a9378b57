"""Computes training steps on equation 8 and evaluates the model, on any number of devices."""

import collections
import contextlib
import itertools
import zlib

import keras
import numpy as np
import tensorflow as tf

from prsr.data import pipeline
from prsr.models.build import build_model
from prsr.system.errors import UserError
from prsr.training import distribution, optimizers

_STATISTICS_BATCHES = 16


class Diverged(UserError):
    """The loss, its gradient or a weight is not finite."""


class Trainer:
    """A model, its optimizer, and its training step on any number of devices.

    Args:
        hparams: `prsr.hparams.Hparams`.
        train_set: as `prsr.data.image_sets.training_set` returns it.
        strategy: as `prsr.training.distribution.open_strategy` returns it; None for the
            default device.

    Attributes:
        rate_factor: variable that multiplies the learning rate, part of each checkpoint.

    Raises:
        UserError: the settings do not describe a trainable model.
    """

    def __init__(self, hparams, train_set, strategy=None):
        training = hparams.training
        self.hparams, self.train_set = hparams, train_set
        self.strategy = strategy or tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        self.is_chief = self.strategy.extended.should_checkpoint  # writes for all machines
        check_devices(hparams, self.replicas)
        keras.utils.set_random_seed(training.seed)
        with self.strategy.scope():
            dtype = "mixed_bfloat16" if training.mixed_precision else "float32"
            self.model = build_model(hparams, dtype)
            self.rate_factor = tf.Variable(1.0, trainable=False)
            self.optimizer = optimizers.from_hparams(training, self.rate_factor)
            self.optimizer.build(self.model.trainable_variables)
        # Explicit lists, because TensorFlow does not find all variables of a Keras 3 model: it
        # misses batch normalisation's statistics in nested lists of layers.
        self.checkpoint = tf.train.Checkpoint(
            model=[variable.value for variable in self.model.variables],
            optimizer=[variable.value for variable in self.optimizer.variables],
            rate_factor=self.rate_factor,
        )
        # Always the first batches, so that a model's scores do not depend on the step.
        self.statistics_batches = [low_res for low_res, _ in self.pairs().take(_STATISTICS_BATCHES)]
        size = hparams.data.image_size
        self.image_shape = (size, size, hparams.model.channels)
        self._evaluated = None, None  # the weights' checksums, and all variables for evaluation
        compiled = tf.function(autograph=False, jit_compile=training.jit_compile or None)
        self._train_step = compiled(self._train_step)
        self._eval_step = tf.function(self._eval_step, autograph=False)

    def pairs(self, first_step=0, shard=pipeline.WHOLE):
        """Returns the training batches from a step on, as a `tf.data.Dataset`."""
        hparams, training = self.hparams, self.hparams.training
        size, seed = training.global_batch_size, training.seed
        return pipeline.training_pairs(
            self.train_set, hparams.data, hparams.model.scale, size, seed, first_step, shard
        )

    def batches(self, first_step=0):
        """Like `pairs`, but for `train_step`: each device gets its part of every batch."""
        return self._distribute(lambda shard: self.pairs(first_step, shard))

    def evaluation_batches(self, image_set):
        """Returns the batches of an `ImageSet` for `evaluate`."""
        data, scale = self.hparams.data, self.hparams.model.scale
        size = self.hparams.training.global_batch_size
        return self._distribute(
            lambda shard: pipeline.evaluation_pairs(image_set, data, scale, size, shard)
        )

    def _distribute(self, dataset_of):
        """Yields per-device batches, each read on its own machine.

        This does not use the strategy's distributed datasets: when TensorFlow 2.21 deletes their
        iterators it may wait minutes for tuning threads, and several machines synchronise before
        each batch to see whether there is one.
        """
        if self.replicas == 1:
            yield from dataset_of(pipeline.WHOLE)
            return
        spread = self.strategy.experimental_distribute_values_from_function
        numbers = spread(lambda context: tf.constant(context.replica_id_in_sync_group))
        here = [int(number) for number in self.strategy.experimental_local_results(numbers)]
        iterator = iter(dataset_of(pipeline.Shard(here[0], len(here), self.replicas)))
        for first in iterator:
            parts = [first, *itertools.islice(iterator, len(here) - 1)]
            yield spread(
                lambda context, parts=parts: parts[context.replica_id_in_sync_group - here[0]]
            )

    @property
    def step(self):
        """Steps taken so far."""
        return int(self.optimizer.iterations.numpy())

    @property
    def learning_rate(self):
        return float(self.optimizer.learning_rate)

    def train_step(self, batch):
        """One update of all weights, by equation 8, on an element of `batches`.

        Returns:
            A dict of floats: the model's `scores` before the update, averaged over images, and the
            global norm of the gradient.
        """
        return {name: float(value) for name, value in self._train_step(batch).items()}

    def _train_step(self, batch):
        return self._first(self.strategy.run(self._replica_step, args=batch))

    def _first(self, scores):
        """Returns one replica's dict of scores, which are summed over all of them already."""
        local = self.strategy.experimental_local_results
        return {name: local(value)[0] for name, value in scores.items()}

    def all_gather(self, numbers):
        """Calls `prsr.training.distribution.all_gather`."""
        return distribution.all_gather(self.strategy, numbers)

    def _replica_step(self, low_res, high_res):
        training = self.hparams.training
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            scores = self.model.scores(low_res, high_res, training=True)
            # Summed over sub-pixels, averaged over the global batch.
            loss = self.model.objective(scores, training.conditioning_weight)
            loss = tf.reduce_sum(loss) / training.global_batch_size
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        means = {
            name: tf.reduce_sum(score) / training.global_batch_size
            for name, score in scores.items()
        }
        # Sum here, so that the norm is that of the whole batch on any number of devices.
        gradients, means = _sum_over_replicas((gradients, means))
        norm = tf.linalg.global_norm(gradients)
        if training.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, training.clip_norm, use_norm=norm)
        # Divide, because the optimizer sums over replicas again.
        self.optimizer.apply([g / self.replicas for g in gradients], variables)
        return {**means, "gradient_norm": norm}

    def diverged(self, what):
        """Returns the error for a value that is not finite."""
        return Diverged(
            f"{what} is not finite at step {self.step} (learning rate {self.learning_rate:.3g})"
        )

    def check_finite(self):
        """Raises `Diverged` if a weight or an optimizer slot is not finite."""
        for variable in [*self.model.variables, *self.optimizer.variables]:
            if not np.all(np.isfinite(variable.numpy())):
                raise self.diverged(f"a weight ({variable.path})")

    def evaluate(self, batches):
        """Returns the model's `scores` with `evaluation_weights`, averaged over images, as floats.

        Args:
            batches: as `evaluation_batches` returns them.
        """
        totals = collections.Counter()
        with self.evaluation_weights():
            for batch in batches:
                totals.update({name: float(x) for name, x in self._eval_step(batch).items()})
        count = totals.pop("images")
        return {name: total / count for name, total in totals.items()}

    def _eval_step(self, batch):
        return self._first(self.strategy.run(self._replica_eval, batch))

    def _replica_eval(self, low_res, high_res, weight):
        scores = self.model.scores(low_res, high_res)
        sums = {name: tf.reduce_sum(score * weight) for name, score in scores.items()}
        return _sum_over_replicas({**sums, "images": tf.reduce_sum(weight)})

    @contextlib.contextmanager
    def evaluation_weights(self):
        """Temporarily gives the model the weights to score, sample from and save.

        The moving average, if one is kept, replaces the weights, and batch normalisation's
        statistics are recomputed on `statistics_batches`.
        """
        variables = self.model.variables
        kept = [variable.numpy() for variable in variables]
        weights = [variable.numpy() for variable in self.model.trainable_variables]
        if self.optimizer.use_ema and self.step > 0:
            # Keras has no public way to read the averages and continue training.
            weights = [w.numpy() for w in self.optimizer._model_variables_moving_average]
        now = [zlib.crc32(weight.tobytes()) for weight in weights]
        with self.strategy.scope():
            if now == self._evaluated[0]:  # the weights were just scored; reuse their statistics
                _assign_variables(variables, self._evaluated[1])
            else:
                _assign_variables(self.model.trainable_variables, weights)
                self.model.recalibrate_batch_norm(self.statistics_batches)
                self._evaluated = now, [variable.numpy() for variable in variables]
        try:
            yield
        finally:
            with self.strategy.scope():
                _assign_variables(variables, kept)


def _sum_over_replicas(tensors):
    """Sums a structure of tensors over all replicas, in one exchange."""
    return tf.distribute.get_replica_context().all_reduce("SUM", tensors)


def _assign_variables(variables, values):
    for variable, value in zip(variables, values):
        variable.assign(value)


def check_devices(hparams, replicas):
    """Rejects settings that do not work on this number of devices."""
    training = hparams.training
    if training.jit_compile and replicas > 1:
        raise UserError("jit_compile works on one device only; leave it out")
    if training.jit_compile and hparams.model.architecture == "regression":
        raise UserError("jit_compile cannot resize images, which a regression does; leave it out")
    if training.global_batch_size % replicas:
        raise UserError(
            f"global_batch_size={training.global_batch_size} is not divisible by {replicas} "
            f"devices; choose a multiple of {replicas}"
        )
