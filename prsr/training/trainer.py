"""Equation 8, step by step: the train step, and the loop around it."""

import collections
import contextlib
import itertools
import zlib

import keras
import numpy as np
import tensorflow as tf

from prsr.data import pipeline
from prsr.errors import UserError
from prsr.models import losses
from prsr.models.build import build_model
from prsr.training import distribution, optimizers

_STATISTICS_BATCHES = 16


class Diverged(UserError):
    """The loss, its gradient or a weight is no number any more."""


class Trainer:
    """A model, its optimizer, and one step of training on however many devices.

    Args:
        hparams: `prsr.hparams.Hparams`.
        train_set: what `pipeline.training_set` returned.
        strategy: as `prsr.training.distribution.open_strategy` returns it; None for the
            default device.

    Raises:
        UserError: the settings describe nothing that can be trained.
    """

    def __init__(self, hparams, train_set, strategy=None):
        training = hparams.training
        self.hparams, self.train_set = hparams, train_set
        self.strategy = strategy or tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        self.is_chief = self.strategy.extended.should_checkpoint  # who writes for all machines
        check_devices(hparams, self.replicas)
        keras.utils.set_random_seed(training.seed)
        with self.strategy.scope():
            dtype = "mixed_bfloat16" if training.mixed_precision else "float32"
            self.model = build_model(hparams, dtype)
            self.optimizer = optimizers.from_hparams(training)
            self.optimizer.build(self.model.trainable_variables)
        # Lists of variables: TensorFlow does not find all of a Keras 3 model's by itself
        # (batch normalisation's statistics in nested lists of layers are left out).
        self.checkpoint = tf.train.Checkpoint(
            model=[variable.value for variable in self.model.variables],
            optimizer=[variable.value for variable in self.optimizer.variables],
        )
        # Of the first batches, whatever the step: scores of a model depend on nothing else.
        self.statistics_batches = [low_res for low_res, _ in self.pairs().take(_STATISTICS_BATCHES)]
        size = hparams.data.image_size
        self.image_shape = (size, size, hparams.model.channels)
        self._names = {}
        self._evaluated = None, None  # checksums of weights, and all variables to score them with
        compiled = tf.function(autograph=False, jit_compile=training.jit_compile or None)
        self._train_step = compiled(self._train_step)
        self._eval_step = tf.function(self._eval_step, autograph=False)

    def pairs(self, first_step=0, shard=pipeline.WHOLE):
        """The batches of training, from a step on, as a `tf.data.Dataset`."""
        hparams, training = self.hparams, self.hparams.training
        return pipeline.training_pairs(
            self.train_set,
            hparams.data,
            hparams.model.scale,
            training.global_batch_size,
            training.seed,
            first_step,
            shard,
        )

    def batches(self, first_step=0):
        """The same for `train_step`: each device gets its part of every batch."""
        return self._distribute(lambda shard: self.pairs(first_step, shard))

    def evaluation_batches(self, image_set):
        """An `ImageSet` for `evaluate`."""
        hparams = self.hparams
        return self._distribute(
            lambda shard: pipeline.evaluation_pairs(
                image_set,
                hparams.data,
                hparams.model.scale,
                hparams.training.global_batch_size,
                shard,
            )
        )

    def _distribute(self, dataset_of):
        """Batches of which each device has its part, read on its machine.

        Not the strategy's own way: TensorFlow 2.21 may wait minutes for the tuning threads of
        its iterators when they are deleted, and has several machines ask each other before
        each batch whether there is one.
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
        """One update of all weights, by equation 8.

        Args:
            batch: `(low_res, high_res)`, an element of `batches`.

        Returns:
            A dict of floats: means over images of the model's `scores`, before the update, and
            the global norm of the gradient.
        """
        return self._named("train", self._train_step(batch))

    def _train_step(self, batch):
        scores = self.strategy.run(self._replica_step, args=batch)
        return self.strategy.reduce("SUM", scores, axis=None)

    def _stack(self, kind, scores):
        """Scores as one vector, which crosses to the host once; `_named` has them back."""
        self._names[kind] = tuple(scores)
        return tf.stack(tuple(scores.values()))

    def _named(self, kind, stacked):
        return dict(zip(self._names[kind], stacked.numpy().tolist()))

    def all_gather(self, numbers):
        """As `prsr.training.distribution.all_gather`."""
        return distribution.all_gather(self.strategy, numbers)

    def _replica_step(self, low_res, high_res):
        training = self.hparams.training
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            scores = self.model.scores(low_res, high_res, training=True)
            # Summed over sub-pixels, averaged over the global batch.
            loss = losses.objective(scores, training.conditioning_weight)
            loss = tf.reduce_sum(loss) / training.global_batch_size
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        # Summed here, so that the norm is that of the whole batch, on one device or many.
        gradients = tf.distribute.get_replica_context().all_reduce("SUM", gradients)
        norm = tf.linalg.global_norm(gradients)
        if training.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, training.clip_norm, use_norm=norm)
        # The optimizer sums over replicas once more.
        self.optimizer.apply([g / self.replicas for g in gradients], variables)
        result = {
            name: tf.reduce_sum(score) / training.global_batch_size
            for name, score in scores.items()
        }
        return self._stack("train", {**result, "gradient_norm": norm / self.replicas})

    def diverged(self, what):
        """The error of training that cannot go on like this."""
        return Diverged(
            f"{what} is not a number at step {self.step} (learning rate {self.learning_rate:.3g})"
        )

    def check_finite(self):
        """Refuses weights that may not be kept.

        Raises:
            Diverged: a weight or a slot of the optimizer is infinite or no number.
        """
        for variable in [*self.model.variables, *self.optimizer.variables]:
            if not np.all(np.isfinite(variable.numpy())):
                raise self.diverged(f"a weight ({variable.path})")

    def evaluate(self, batches):
        """Scores a split, with `evaluation_weights`.

        Args:
            batches: as `evaluation_batches` returns them.

        Returns:
            A dict of floats: means over images of the model's `scores`.
        """
        totals = collections.Counter()
        with self.evaluation_weights():
            for batch in batches:
                totals.update(self._named("eval", self._eval_step(batch)))
        count = totals.pop("images")
        return {name: total / count for name, total in totals.items()}

    def _eval_step(self, batch):
        return self.strategy.reduce("SUM", self.strategy.run(self._replica_eval, batch), axis=None)

    def _replica_eval(self, low_res, high_res, weight):
        scores = self.model.scores(low_res, high_res)
        sums = {name: tf.reduce_sum(score * weight) for name, score in scores.items()}
        return self._stack("eval", {**sums, "images": tf.reduce_sum(weight)})

    @contextlib.contextmanager
    def evaluation_weights(self):
        """Makes the model the one to score, to sample from and to keep, for a while.

        The moving average takes the weights' place, if one is kept, and batch
        normalisation's statistics are taken afresh on `statistics_batches`.
        """
        variables = self.model.variables
        kept = [variable.numpy() for variable in variables]
        weights = [variable.numpy() for variable in self.model.trainable_variables]
        if self.optimizer.use_ema and self.step > 0:
            # Keras has no public way to read the averages and go on training.
            weights = [w.numpy() for w in self.optimizer._model_variables_moving_average]
        now = [zlib.crc32(weight.tobytes()) for weight in weights]
        with self.strategy.scope():
            if now == self._evaluated[0]:  # scored a moment ago, and now to be kept or drawn from
                _assign(variables, self._evaluated[1])
            else:
                _assign(self.model.trainable_variables, weights)
                self.model.recalibrate_batch_norm(self.statistics_batches)
                self._evaluated = now, [variable.numpy() for variable in variables]
        try:
            yield
        finally:
            with self.strategy.scope():
                _assign(variables, kept)


def _assign(variables, values):
    for variable, value in zip(variables, values):
        variable.assign(value)


def check_devices(hparams, replicas):
    """Refuses what so many devices cannot share."""
    training = hparams.training
    if training.jit_compile and replicas > 1:
        raise UserError("jit_compile works on one device only; leave it out")
    if training.jit_compile and hparams.model.architecture == "regression":
        raise UserError("jit_compile cannot resize, as a regression does; leave it out")
    if training.global_batch_size % replicas:
        raise UserError(
            f"global_batch_size={training.global_batch_size} cannot be divided among "
            f"{replicas} devices; choose a multiple of {replicas}"
        )
