"""Equation 8, step by step: the train step, and the loop around it."""

import collections
import contextlib
import dataclasses
import math
import os
import signal
import sys

import keras
import numpy as np
import tensorflow as tf

from prsr import optimizers, plotting, reporting, samplers, workdirs
from prsr.data import pipeline
from prsr.errors import UserError, first_line

_STATISTICS_BATCHES = 16
_KEPT_CHECKPOINTS = 3


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How often the loop does what, in steps; a final round comes at the end of training.

    Attributes:
        log_every: print and record the training scores.
        eval_every: score `eval_images` of the validation split.
        sample_every: draw a grid of validation images, or 0 for the last step only.
        checkpoint_every: save.
        sample_images: rows of the grid; 0 draws none.
        samples_per_image: samples a row.
        tau: for the samples.
    """

    log_every: int
    eval_every: int
    sample_every: int
    checkpoint_every: int
    sample_images: int
    samples_per_image: int
    tau: float


class Trainer:
    """A model, its optimizer, and one step of training on however many devices.

    Args:
        hparams: `prsr.hparams.Hparams`.
        train_set: the training `ImageSet`.
        strategy: a `tf.distribute` strategy; None for the default device.

    Raises:
        UserError: the settings describe nothing that can be trained.
    """

    def __init__(self, hparams, train_set, strategy=None):
        training = hparams.training
        self.hparams, self.train_set = hparams, train_set
        self.strategy = strategy or tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        if training.jit_compile and self.replicas > 1:
            raise UserError("--jit_compile works on one device only; leave it out")
        if training.jit_compile and hparams.model.model == "regression":
            raise UserError("--jit_compile cannot resize, as --model=regression does; leave it out")
        if training.global_batch_size % self.replicas:
            raise UserError(
                f"--global_batch_size={training.global_batch_size} cannot be divided among "
                f"{self.replicas} devices; choose a multiple of {self.replicas}"
            )
        keras.utils.set_random_seed(training.seed)
        with self.strategy.scope():
            dtype = "mixed_bfloat16" if training.mixed_precision else None
            self.model = workdirs.build_model(hparams, dtype)
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
        compiled = tf.function(jit_compile=training.jit_compile or None)
        self._train_step = compiled(self._train_step)
        self._eval_step = tf.function(self._eval_step)

    def pairs(self, first_step=0):
        """The global batches of training, from a step on, as a `tf.data.Dataset`."""
        hparams, training = self.hparams, self.hparams.training
        return pipeline.training_pairs(
            self.train_set,
            hparams.data,
            hparams.model.scale,
            training.global_batch_size,
            training.seed,
            first_step,
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
            batch: `(low_res, high_res)` of the global batch, or what the strategy made of it.

        Returns:
            A dict of scalar tensors: means over images of the model's `scores`, before the
            update, and the global norm of the gradient.
        """
        return self._train_step(batch)

    def _train_step(self, batch):
        per_replica = self.strategy.run(self._replica_step, args=batch)
        return {
            name: self.strategy.reduce("SUM", value, axis=None)
            for name, value in per_replica.items()
        }

    def _replica_step(self, low_res, high_res):
        training = self.hparams.training
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            scores = self.model.scores(low_res, high_res, training=True)
            # Summed over sub-pixels, averaged over the global batch.
            loss = tf.reduce_sum(self._loss(scores)) / training.global_batch_size
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
        return {**result, "gradient_norm": norm / self.replicas}

    def _loss(self, scores):
        """Equation 8: CE(A + B) + CE(A). A baseline's loss is its one score."""
        if "joint" not in scores:
            return sum(scores.values())
        weight = self.hparams.training.conditioning_weight
        return scores["joint"] + weight * scores["conditioning"]

    def diverged(self, what):
        """The `UserError` of training that cannot go on."""
        return UserError(
            f"{what} is not a number at step {self.step} (learning rate "
            f"{self.learning_rate:.3g}); what was saved before is untouched: run the same "
            f"command with a lower --learning_rate, or with --clip_norm"
        )

    def check_finite(self):
        """Refuses weights that may not be kept.

        Raises:
            UserError: a weight or a slot of the optimizer is infinite or no number.
        """
        for variable in [*self.model.variables, *self.optimizer.variables]:
            if not np.all(np.isfinite(variable.numpy())):
                raise self.diverged(f"a weight ({variable.path})")

    def evaluate(self, batches):
        """Scores a split, with `evaluation_weights`.

        Args:
            batches: what `distribute` made of `pipeline.evaluation_pairs`.

        Returns:
            A dict of floats: means over images of the model's `scores`.
        """
        totals = collections.Counter()
        with self.evaluation_weights():
            for batch in batches:
                totals.update({k: float(v) for k, v in self._eval_step(batch).items()})
        count = totals.pop("images")
        return {name: total / count for name, total in totals.items()}

    def _eval_step(self, batch):
        per_replica = self.strategy.run(self._replica_eval, batch)
        return {
            name: self.strategy.reduce("SUM", value, axis=None)
            for name, value in per_replica.items()
        }

    def _replica_eval(self, low_res, high_res, weight):
        scores = self.model.scores(low_res, high_res)
        sums = {name: tf.reduce_sum(score * weight) for name, score in scores.items()}
        return {**sums, "images": tf.reduce_sum(weight)}

    def distribute(self, dataset):
        """Gives each replica its part of every batch of a `tf.data.Dataset`."""
        if self.replicas == 1:
            return dataset
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return self.strategy.experimental_distribute_dataset(dataset.with_options(options))

    @contextlib.contextmanager
    def evaluation_weights(self):
        """Makes the model the one to score, to sample from and to keep, for a while.

        The moving average takes the weights' place, if one is kept, and batch
        normalisation's statistics are taken afresh on `statistics_batches`.
        """
        weights = self.model.trainable_variables
        kept = [(variable, variable.numpy()) for variable in self.model.variables]
        with self.strategy.scope():
            if self.optimizer.use_ema and self.step > 0:
                # Keras has no public way to read the averages and go on training.
                averages = self.optimizer._model_variables_moving_average
                for variable, average in zip(weights, averages):
                    variable.assign(average.numpy())
            self.model.estimate_statistics(self.statistics_batches)
        try:
            yield
        finally:
            with self.strategy.scope():
                for variable, value in kept:
                    variable.assign(value)


def train(trainer, workdir, validation_set, schedule):
    """Trains to `train_steps`, from the newest checkpoint if there is one.

    Args:
        trainer: a `Trainer`.
        workdir: a `prsr.workdirs.Workdir`, locked, with settings written.
        validation_set: the validation `ImageSet`.
        schedule: a `Schedule`.

    Returns:
        None, or the number of the signal (SIGINT, SIGTERM) that asked to stop; either
        way everything is saved.

    Raises:
        UserError: the loss or the gradient is no number any more, or nothing could be
            saved. Earlier checkpoints are untouched.
    """
    hparams, training = trainer.hparams, trainer.hparams.training
    _restore(trainer, workdir)
    step = trainer.step
    with reporting.disk_errors(workdir.path):
        workdir.forget_metrics_after(step)
        writer = tf.summary.create_file_writer(str(workdir.logs))
    batches = iter(trainer.distribute(trainer.pairs(step)))
    reporter = reporting.Reporter(trainer, workdir, writer, step)

    def due(every):
        return every and step % every == 0

    def picture_of(step):
        return workdir.samples / f"step_{step:08d}.png"

    def save():
        trainer.check_finite()
        with reporting.disk_errors(workdir.path):
            _write_checkpoint(trainer, workdir)
        with trainer.evaluation_weights(), reporting.disk_errors(workdir.path):
            workdir.save_weights(trainer.model)
            writer.flush()

    sampler = samplers.sampler(trainer.model)

    def draw():
        with trainer.evaluation_weights():
            picture = sample_grid(sampler, hparams, validation_set, schedule)
        with reporting.disk_errors(workdir.path):
            plotting.save(picture, picture_of(step))
        with writer.as_default(step):
            tf.summary.image("input, samples, truth", np.asarray(picture)[None])

    with _signals() as asked_to_stop:
        saved = None
        drawn = step if picture_of(step).exists() else None
        scored = step if reporter.has_validated(step) else None
        while step < training.train_steps and not asked_to_stop:
            scores = trainer.train_step(next(batches))
            step += 1
            reporter.add(scores)
            if not math.isfinite(sum(float(value) for value in scores.values())):
                raise trainer.diverged("the loss or its gradient")
            if due(schedule.log_every):
                reporter.log(step)
            if due(schedule.eval_every):
                with reporter.paused():
                    reporter.validate(step, validation_set)
                scored = step
            if due(schedule.sample_every) and schedule.sample_images:
                with reporter.paused():
                    draw()
                drawn = step
            if due(schedule.checkpoint_every):
                with reporter.paused():
                    save()
                saved = step
        if saved != step:
            save()
        if asked_to_stop:
            return asked_to_stop[0]
        if scored != step:
            reporter.validate(step, validation_set)
        with reporting.disk_errors(workdir.path):
            plotting.curves(workdir.read_metrics(), workdir.curves)
        if schedule.sample_images and drawn != step:
            draw()
        writer.close()
    return asked_to_stop[0] if asked_to_stop else None


def run(workdir, hparams, schedule, eval_images):
    """Reads the images and trains a run, or continues it: what `prsr.train` does.

    Args:
        workdir: a `prsr.workdirs.Workdir`; its directory is made and locked.
        hparams: `prsr.hparams.Hparams`.
        schedule: a `Schedule`.
        eval_images: validation images to score.

    Returns:
        As `train`.

    Raises:
        UserError: as `train`, or the images or the directory cannot be used.
    """
    hparams.check()
    lock = workdir.lock()
    devices = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    strategy = tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else None
    channels = hparams.model.channels
    workdirs.build_model(hparams)  # what cannot work is refused before images are read
    train_set = pipeline.load(hparams.data, channels, "train")
    validation_set = pipeline.load(hparams.data, channels, "validation", eval_images)
    trainer = Trainer(hparams, train_set, strategy)
    print(
        f"{trainer.model.count_params():,} weights, {len(train_set.names):,} training images, "
        f"{len(validation_set.names):,} validation images, {max(1, len(devices))} device(s)"
    )
    workdir.write_hparams(hparams)
    stopped = train(trainer, workdir, validation_set, schedule)
    lock.close()
    return stopped


def sample_grid(sampler, hparams, image_set, schedule):
    """Samples for the first images of a split, beside their inputs and truths.

    Args:
        sampler: a model's sampler, as `prsr.samplers.sampler` returns it.
        hparams: the model's `Hparams`.
        image_set: an `ImageSet`.
        schedule: a `Schedule`, for how many and which tau.

    Returns:
        A `PIL.Image`.
    """
    count, per_image = schedule.sample_images, schedule.samples_per_image
    low_res, high_res = pipeline.evaluation_arrays(
        image_set.first(count), hparams.data, hparams.model.scale
    )
    seed = hparams.training.seed
    total = len(low_res) * per_image
    print(f"drawing {total} samples", file=sys.stderr)
    drawn = samplers.draw_samples(sampler, low_res, per_image, seed, schedule.tau, total)
    rows = [[low, *own, truth] for low, own, truth in zip(low_res, drawn, high_res)]
    return plotting.sheet(rows, ["input", *["sample"] * per_image, "truth"])


def _checkpoints(workdir):
    """The steps of the checkpoints, the newest last. A checkpoint's index is written last."""
    indices = workdir.checkpoints.glob("ckpt-*.index")
    steps = (index.stem.removeprefix("ckpt-") for index in indices)
    return sorted(int(step) for step in steps if step.isdecimal())


def _write_checkpoint(trainer, workdir):
    """Writes the checkpoint of this step, if it is not there, and keeps the newest ones."""
    if trainer.step not in _checkpoints(workdir):
        trainer.checkpoint.write(str(workdir.checkpoints / f"ckpt-{trainer.step}"))
    for step in _checkpoints(workdir)[:-_KEPT_CHECKPOINTS]:
        for path in workdir.checkpoints.glob(f"ckpt-{step}.*"):
            path.unlink()


def _restore(trainer, workdir):
    """Loads the newest checkpoint that can be read."""
    steps = _checkpoints(workdir)
    for step in reversed(steps):
        path = workdir.checkpoints / f"ckpt-{step}"
        try:
            trainer.checkpoint.read(str(path)).assert_consumed()
        except Exception as error:  # its reader raises IndexError and others on broken files
            print(
                f"cannot continue from {path} ({first_line(error)}); trying the one before",
                file=sys.stderr,
            )
            for broken in workdir.checkpoints.glob(f"ckpt-{step}.*"):
                broken.rename(broken.with_name(f"broken-{broken.name}"))
        else:
            print(f"continuing from step {step:,} ({path})", file=sys.stderr)
            return
    if steps or workdir.weights.exists():
        raise UserError(
            f"there is no checkpoint in {workdir.checkpoints} that can be read, and there was "
            f"one; train in another --workdir"
        )


@contextlib.contextmanager
def _signals():
    """Collects SIGINT and SIGTERM, so that the step that runs is finished and saved."""
    caught = []

    def handler(number, _):
        caught.append(number)
        # Not print, which may be what was interrupted.
        os.write(2, f"{signal.Signals(number).name}: saving, then leaving\n".encode())

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, action in before.items():
            signal.signal(number, action)
