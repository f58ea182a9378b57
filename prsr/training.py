"""Equation 8, step by step: the train step, and the loop around it."""

import collections
import contextlib
import dataclasses
import itertools
import json
import math
import os
import signal
import sys
import threading
import time
import zlib

import keras
import numpy as np
import tensorflow as tf

from prsr import distribution, optimizers, plotting, reporting, samplers, workdirs
from prsr.data import pipeline
from prsr.errors import UserError, cause, first_line

_STATISTICS_BATCHES = 16
_KEPT_CHECKPOINTS = 3
_MOST_RETURNS = 20  # to a checkpoint, with half the learning rate each time
_UNREADABLE = 1000  # said in place of a signal's number


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How often the loop does what, in steps, and what if the loss is no number.

    A final round comes at the end of training.

    Attributes:
        log_every: print and record the training scores.
        eval_every: score `eval_images` of the validation split.
        sample_every: draw a grid of validation images, or 0 for the last step only.
        checkpoint_every: save.
        sample_images: rows of the grid; 0 draws none.
        samples_per_image: samples a row.
        tau: for the samples.
        on_nan: `"stop"`, or `"restore"`: go back to the newest checkpoint and halve the
            learning rate.
    """

    log_every: int
    eval_every: int
    sample_every: int
    checkpoint_every: int
    sample_images: int
    samples_per_image: int
    tau: float
    on_nan: str = "stop"


class Diverged(UserError):
    """The loss, its gradient or a weight is no number any more."""


class Trainer:
    """A model, its optimizer, and one step of training on however many devices.

    Args:
        hparams: `prsr.hparams.Hparams`.
        train_set: what `pipeline.training_set` returned.
        strategy: as `prsr.distribution.open_strategy` returns it; None for the default device.

    Raises:
        UserError: the settings describe nothing that can be trained.
    """

    def __init__(self, hparams, train_set, strategy=None):
        training = hparams.training
        self.hparams, self.train_set = hparams, train_set
        self.strategy = strategy or tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        self.is_chief = self.strategy.extended.should_checkpoint  # who writes for all machines
        _check_devices(hparams, self.replicas)
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

    def pairs(self, first_step=0, parts=pipeline.WHOLE):
        """The batches of training, from a step on, as a `tf.data.Dataset`."""
        hparams, training = self.hparams, self.hparams.training
        return pipeline.training_pairs(
            self.train_set,
            hparams.data,
            hparams.model.scale,
            training.global_batch_size,
            training.seed,
            first_step,
            parts,
        )

    def batches(self, first_step=0):
        """The same for `train_step`: each device gets its part of every batch."""
        return self._distribute(lambda parts: self.pairs(first_step, parts))

    def evaluation_batches(self, image_set):
        """An `ImageSet` for `evaluate`."""
        hparams = self.hparams
        return self._distribute(
            lambda parts: pipeline.evaluation_pairs(
                image_set,
                hparams.data,
                hparams.model.scale,
                hparams.training.global_batch_size,
                parts,
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
        iterator = iter(dataset_of(pipeline.Parts(here[0], len(here), self.replicas)))
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
            A dict of scalar tensors: means over images of the model's `scores`, before the
            update, and the global norm of the gradient.
        """
        return self._train_step(batch)

    def _train_step(self, batch):
        return self._sums(self.strategy.run(self._replica_step, args=batch))

    def _sums(self, per_replica):
        return {
            name: self.strategy.reduce("SUM", value, axis=None)
            for name, value in per_replica.items()
        }

    def everyone(self, number):
        """As `prsr.distribution.everyone`."""
        return distribution.everyone(self.strategy, number)

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
                totals.update({k: float(v) for k, v in self._eval_step(batch).items()})
        count = totals.pop("images")
        return {name: total / count for name, total in totals.items()}

    def _eval_step(self, batch):
        return self._sums(self.strategy.run(self._replica_eval, batch))

    def _replica_eval(self, low_res, high_res, weight):
        scores = self.model.scores(low_res, high_res)
        sums = {name: tf.reduce_sum(score * weight) for name, score in scores.items()}
        return {**sums, "images": tf.reduce_sum(weight)}

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


def _check_devices(hparams, replicas):
    """Refuses what so many devices cannot share."""
    training = hparams.training
    if training.jit_compile and replicas > 1:
        raise UserError("--jit_compile works on one device only; leave it out")
    if training.jit_compile and hparams.model.model == "regression":
        raise UserError("--jit_compile cannot resize, as --model=regression does; leave it out")
    if training.global_batch_size % replicas:
        raise UserError(
            f"--global_batch_size={training.global_batch_size} cannot be divided among "
            f"{replicas} devices; choose a multiple of {replicas}"
        )


def train(trainer, workdir, validation_set, schedule):
    """Trains to `train_steps`, from the newest checkpoint if there is one.

    Args:
        trainer: a `Trainer`.
        workdir: a `prsr.workdirs.Workdir`, locked, with settings written; of several
            machines all read there, and the chief writes.
        validation_set: the validation `ImageSet`.
        schedule: a `Schedule`.

    Returns:
        None, or the number of the signal (SIGINT, SIGTERM) that asked to stop, on whatever
        machine; either way everything is saved.

    Raises:
        Diverged: the loss or the gradient is no number any more.
        UserError: nothing could be saved, or no more images could be read. Earlier
            checkpoints are untouched.
        tf.errors.OpError: another worker is gone (`prsr.distribution.LOST`).
    """
    hparams, training = trainer.hparams, trainer.hparams.training
    _restore(trainer, workdir)
    step = trainer.step
    writer = tf.summary.create_noop_writer()
    if trainer.is_chief:
        with reporting.disk_errors(workdir.path):
            workdir.forget_metrics_after(step)
            writer = tf.summary.create_file_writer(str(workdir.logs))
    batches = iter(trainer.batches(step))
    reporter = reporting.Reporter(trainer, workdir, writer, step)

    def due(every):
        return every and step % every == 0

    def picture_of(step):
        return workdir.samples / f"step_{step:08d}.png"

    def save():
        trainer.check_finite()
        if trainer.is_chief:
            with reporting.disk_errors(workdir.path):
                _write_checkpoint(trainer, workdir)
            with trainer.evaluation_weights(), reporting.disk_errors(workdir.path):
                workdir.save_weights(trainer.model)
                writer.flush()

    def signal_of_anyone(problem=0):
        """So that all machines do the same, before the same step."""
        return max(trainer.everyone(problem or (asked_to_stop[0] if asked_to_stop else 0)))

    def next_batch():
        """A batch, and the number of the signal if one of the machines was asked to stop."""
        batch, problem = None, None
        try:
            batch = next(batches)
        except tf.errors.OpError as error:
            problem = error
        stopped = signal_of_anyone(_UNREADABLE if problem else 0)
        if stopped == _UNREADABLE:
            if saved != step:
                save()
            raise UserError(
                f"the training images cannot be read any more "
                f"({cause(problem) if problem else 'by another worker'}); step {step:,} is saved: "
                f"mend them, records by running the same prsr.prepare again, and run the same "
                f"command again"
            ) from problem
        return batch, stopped

    sampler = samplers.sampler(trainer.model)

    def draw():
        if trainer.is_chief:
            with trainer.evaluation_weights():
                picture = sample_grid(sampler, hparams, validation_set, schedule)
            with reporting.disk_errors(workdir.path):
                plotting.save(picture, picture_of(step))
            with writer.as_default(step):
                tf.summary.image("input, samples, truth", np.asarray(picture)[None])

    with _closing(writer, workdir), _signals() as asked_to_stop:
        saved, stopped = None, 0
        drawn = step if picture_of(step).exists() else None
        has_validated = trainer.is_chief and reporter.has_validated(step)
        scored = step if trainer.everyone(has_validated)[0] else None
        while step < training.train_steps:
            batch, stopped = next_batch()
            if stopped:
                break
            scores = trainer.train_step(batch)
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
        stopped = stopped or signal_of_anyone()
        if stopped:
            return stopped
        if scored != step:
            reporter.validate(step, validation_set)
        if trainer.is_chief:
            with reporting.disk_errors(workdir.path):
                plotting.curves(workdir.read_metrics(), workdir.curves)
        if schedule.sample_images and drawn != step:
            draw()
        return signal_of_anyone() or None  # for which all machines wait


def run(workdir, hparams, schedule, eval_images, strategy=None):
    """Reads the images and trains a run, or continues it: what `prsr.train` does.

    Args:
        workdir: a `prsr.workdirs.Workdir`; its directory is made and locked.
        hparams: `prsr.hparams.Hparams`.
        schedule: a `Schedule`.
        eval_images: validation images to score.
        strategy: as `prsr.distribution.open_strategy` returns it.

    Returns:
        As `train`.

    Raises:
        UserError: as `train`, or the images or the directory cannot be used.
        tf.errors.OpError: as `train`.
    """
    hparams.check()
    _check_devices(hparams, strategy.num_replicas_in_sync if strategy else 1)
    lock = workdir.lock() if strategy is None or strategy.extended.should_checkpoint else None
    channels = hparams.model.channels
    workdirs.build_model(hparams)  # what cannot work is refused before images are read
    train_set = pipeline.training_set(hparams.data, channels)
    validation_set = pipeline.load(hparams.data, channels, "validation", eval_images)
    _check_agreement(strategy, hparams, schedule, train_set, validation_set)
    begun, returns = hparams, 0
    while True:
        trainer = Trainer(hparams, train_set, strategy)
        print(
            f"{trainer.model.count_params():,} weights, {len(train_set):,} training images, "
            f"{len(validation_set):,} validation images, {trainer.replicas} device(s)"
        )
        if trainer.is_chief:
            workdir.write_hparams(hparams)
        try:
            stopped = train(trainer, workdir, validation_set, schedule)
        except Diverged as error:
            if schedule.on_nan == "stop" or returns == _MOST_RETURNS:
                if trainer.is_chief:
                    workdir.write_hparams(begun)
                raise UserError(
                    f"{error}; what was saved before is untouched: run the same command with a "
                    f"lower --learning_rate, with --clip_norm, or with --on_nan=restore"
                ) from error
            returns += 1
            factor = hparams.training.learning_rate_factor / 2
            training = dataclasses.replace(hparams.training, learning_rate_factor=factor)
            hparams = dataclasses.replace(hparams, training=training)
            print(
                f"{error}; going back to the newest checkpoint, with {factor:g} of --learning_rate",
                file=sys.stderr,
            )
            del trainer  # and the memory that it holds
        else:
            if lock:
                lock.close()
            return stopped


def _check_agreement(strategy, hparams, schedule, train_set, validation_set):
    """Refuses machines that would not compute the same, before they wait for each other."""
    settings = [hparams.to_dict(), dataclasses.asdict(schedule), len(train_set)]
    mine = zlib.crc32(validation_set.images, zlib.crc32(json.dumps(settings).encode()))
    chief, *others = distribution.everyone(strategy, mine)
    if any(other != chief for other in others):
        raise UserError(
            "the workers were not started alike: give all the same flags, and let all see the "
            "same images"
        )


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


@contextlib.contextmanager
def _closing(writer, workdir):
    """Closes a summary writer; what it cannot write any more does not hide an earlier error."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(tf.errors.OpError):
            writer.close()
        raise
    with reporting.disk_errors(workdir.path):
        writer.close()


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
    """Loads the newest checkpoint that can be read: the chief's choice, of several machines."""
    step, *_ = trainer.everyone(_restore_newest(trainer, workdir) if trainer.is_chief else 0)
    if step and not trainer.is_chief:
        path = workdir.checkpoints / f"ckpt-{step}"
        try:
            trainer.checkpoint.read(str(path)).assert_consumed()
        except Exception as error:  # as below
            raise UserError(
                f"the chief continues from {path}, which cannot be read here "
                f"({first_line(error)}); --workdir must be one folder that all workers see"
            ) from error


def _restore_newest(trainer, workdir):
    """Loads the newest checkpoint that can be read, and returns its step, 0 if there is none."""
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
            return step
    if steps or workdir.weights.exists():
        raise UserError(
            f"there is no checkpoint in {workdir.checkpoints} that can be read, and there was "
            f"one; train in another --workdir"
        )
    return 0


@contextlib.contextmanager
def _signals():
    """Collects SIGINT and SIGTERM, so that the step that runs is finished and saved.

    Whoever asks again, a second later or more, does not want to wait for that.
    """
    caught = []
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def listen():
        # In a thread of its own: Python's handlers wait until TensorFlow's call is over.
        first = 0.0
        while byte := os.read(reader, 1):
            number = byte[0]
            if number not in before:
                continue
            if not caught:
                first = time.monotonic()
                os.write(2, f"{signal.Signals(number).name}: saving, then leaving\n".encode())
            elif time.monotonic() - first > 1:
                os.write(2, b"leaving at once; the same command continues from what was saved\n")
                os._exit(128 + number)
            caught.append(number)
        os.close(reader)

    before = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)
    }
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=listen, daemon=True).start()
    try:
        yield caught
    finally:
        signal.set_wakeup_fd(woken)
        for number, action in before.items():
            signal.signal(number, action)
        os.close(writer)
