"""Runs the training loop: steps, scheduled validation, samples and checkpoints, and stopping."""

import contextlib
import dataclasses
import json
import math
import sys
import zlib

import numpy as np
import tensorflow as tf

from prsr import images, plotting
from prsr.data import image_sets, pipeline
from prsr.hparams import Sampling
from prsr.models.build import build_model
from prsr.sampling import samplers
from prsr.system import files, progress
from prsr.system.errors import UserError, cause
from prsr.training import checkpoints, distribution, interrupts, reporting
from prsr.training.trainer import Diverged, Trainer, check_devices
from prsr.workdir import history, initial

MAX_RESTORES = 20  # of a checkpoint, each at half the learning rate


def run(workdir, hparams, schedule, strategy=None):
    """Reads the images, and trains or resumes a run; used by `prsr.train`.

    Args:
        workdir: a `prsr.workdir.directory.Workdir`; its directory is made and locked.
        hparams: `prsr.hparams.Hparams`.
        schedule: `prsr.hparams.Schedule`.
        strategy: as `prsr.training.distribution.open_strategy` returns it.

    Returns, raises: as `Loop.run`; also `UserError` for unusable images or an unusable directory.
    """
    hparams.check()
    check_devices(hparams, strategy.num_replicas_in_sync if strategy else 1)
    is_chief = strategy is None or strategy.extended.should_checkpoint
    with workdir.lock() if is_chief else contextlib.nullcontext():
        build_model(hparams)  # rejects invalid settings before any images are read
        source, digest = workdir.open_images(hparams)
        train_set = image_sets.training_set(source, hparams.data)
        validation_set = image_sets.load(source, hparams.data, "validation", schedule.eval_images)
        _check_machines_agree(strategy, hparams, schedule, train_set, validation_set)
        rate_factor, restores = 1.0, 0
        while True:
            trainer = Trainer(hparams, train_set, strategy)
            print(
                f"{progress.counted(trainer.model.count_params(), 'weight')}, "
                f"{progress.counted(len(train_set), 'training image')}, "
                f"{progress.counted(len(validation_set), 'validation image')}, "
                f"{progress.counted(trainer.replicas, 'device')}"
            )
            if is_chief:
                workdir.write_digest(digest)
                workdir.write_hparams(hparams, workdir.read_history())
            try:
                return Loop(trainer, workdir, validation_set, schedule, rate_factor).run()
            except Diverged as error:
                if schedule.on_nan == "stop" or restores == MAX_RESTORES:
                    raise UserError(
                        f"{error}; earlier checkpoints are intact: run the same command with a "
                        f"lower learning_rate, with clip_norm, or with on_nan=restore"
                    ) from error
                restores += 1
                rate_factor = float(trainer.rate_factor.numpy()) / 2
                print(
                    f"{error}; going back to the newest checkpoint, with the learning rate "
                    f"multiplied by {rate_factor:g}",
                    file=sys.stderr,
                )
            del trainer  # and the memory that it holds


def _check_machines_agree(strategy, hparams, schedule, train_set, validation_set):
    """Rejects machines whose settings or images differ, before they wait for each other."""
    settings = [hparams.to_dict(), dataclasses.asdict(schedule), len(train_set)]
    mine = zlib.crc32(validation_set.images, zlib.crc32(json.dumps(settings).encode()))
    chief, *others = distribution.all_gather(strategy, [mine])
    if any(other != chief for other in others):
        raise UserError(
            "the workers' settings or images differ; give all workers the same settings and the "
            "same images"
        )


class Loop:
    """Trains a run from its newest checkpoint on.

    All machines read `workdir`, which is locked and has settings; only the chief writes to it.
    `max_rate_factor` bounds `trainer.rate_factor`. `step` counts the steps taken so far; `saved`,
    `validated` and `drawn` are the steps at which this was last done, or None.
    """

    def __init__(self, trainer, workdir, validation_set, schedule, max_rate_factor=1.0):
        self.max_rate_factor = max_rate_factor
        self.trainer, self.workdir = trainer, workdir
        self.validation_set, self.schedule = validation_set, schedule
        self.step = self.saved = self.validated = self.drawn = None
        # A grid has few samples: compiling with XLA would take longer than drawing them.
        self._sampler = samplers.Sampler(trainer.model, jit_compile=False)
        self._signals = []

    def run(self):
        """Trains to `train_steps`.

        Returns:
            None, or the number of the signal (one of `prsr.training.interrupts.SIGNALS`) that
            stopped training, on any machine; either way everything is saved.

        Raises:
            Diverged: the loss or the gradient is not finite.
            UserError: saving failed, or the images became unreadable. Earlier checkpoints are
                intact.
            tf.errors.OpError: another worker was lost (`prsr.training.distribution.LOST`).
        """
        trainer, workdir, schedule = self.trainer, self.workdir, self.schedule
        self.resumed = checkpoints.restore(trainer, workdir)
        trainer.rate_factor.assign(min(float(trainer.rate_factor.numpy()), self.max_rate_factor))
        self.step = self.first_step = trainer.step
        self.history = workdir.read_history()
        where = trainer.hparams.training.initial_weights
        if self.step == 0 and where:
            with trainer.strategy.scope():
                initial.load(where, trainer.model)
            self.history = initial.history(where)
        self._writer = tf.summary.create_noop_writer()
        if trainer.is_chief:
            with self._disk_errors():
                workdir.forget_metrics_after(self.step)
                reporting.forget_summaries_after(self.step, workdir.logs)
                self._writer = tf.summary.create_file_writer(str(workdir.logs))
        self._reporter = reporting.Reporter(trainer, workdir, self._writer)
        batches = iter(trainer.batches(self.step))
        with self._closing_writer(), interrupts.collected() as self._signals:
            if self._picture().exists():
                self.drawn = self.step
            was_validated = trainer.is_chief and self._reporter.has_validated(self.step)
            if trainer.all_gather([was_validated])[0] == [True]:
                self.validated = self.step
            stopped = 0
            while self.step < trainer.hparams.training.train_steps:
                batch, stopped = self._next_batch(batches)
                if stopped:
                    break
                self._train_step(batch)
                self._run_periodic()
            if self.saved != self.step:
                self._save()
            stopped = stopped or self._agree()[0]
            if stopped:
                return stopped
            if self.validated != self.step:
                self._validate()
            if trainer.is_chief:
                with self._disk_errors():
                    plotting.curves(workdir.read_metrics(), workdir.curves)
            if schedule.sample_images and self.drawn != self.step:
                self._draw()
            return self._agree()[0] or None  # also waits for all machines

    def _agree(self, unreadable=False):
        """Exchanges signals and read errors between all machines, before the same step.

        Returns:
            `(signal, unreadable)`: the number of a signal that any machine received, or 0, and
            whether any machine cannot read its images.
        """
        mine = [self._signals[0] if self._signals else 0, unreadable]
        signals, unreadables = zip(*self.trainer.all_gather(mine))
        return max(signals), any(unreadables)

    def _next_batch(self, batches):
        """Returns a batch, and the number of the signal if any machine was told to stop."""
        batch, problem = None, None
        try:
            batch = next(batches)
        except tf.errors.OpError as error:
            problem = error
        stopped, unreadable = self._agree(problem is not None)
        if unreadable:
            if self.saved != self.step:
                self._save()
            raise UserError(
                f"the training images can no longer be read "
                f"({cause(problem) if problem else 'by another worker'}); step {self.step:,} is "
                f"saved. Repair the images (records: run the same prsr.prepare command again), "
                f"then run this command again"
            ) from problem
        return batch, stopped

    def _train_step(self, batch):
        scores = self.trainer.train_step(batch)
        self.step += 1
        self._reporter.add(scores)
        if not math.isfinite(sum(scores.values())):
            raise self.trainer.diverged("the loss or its gradient")

    def _run_periodic(self):
        schedule = self.schedule
        if self.step % schedule.log_every == 0:
            self._reporter.log(self.step)
        with self._reporter.paused():
            if self.step % schedule.eval_every == 0:
                self._validate()
            draws = schedule.sample_every and schedule.sample_images
            if draws and self.step % schedule.sample_every == 0:
                self._draw()
            if self.step % schedule.checkpoint_every == 0:
                self._save()

    def _validate(self):
        batches = self.trainer.evaluation_batches(self.validation_set)
        means = self.trainer.evaluate(batches)
        self._reporter.validated(self.step, means, len(self.validation_set))
        self.validated = self.step

    def _save(self):
        self.trainer.check_finite()
        if self.trainer.is_chief:
            hparams = self.trainer.hparams
            precision = "mixed bfloat16" if hparams.training.mixed_precision else "float32"
            done = self.first_step, self.step
            parts = history.extended(self.history, hparams, "prsr.train", precision, *done)
            with self._disk_errors():
                checkpoints.write(self.trainer, self.workdir, self.resumed)
            with self.trainer.evaluation_weights(), self._disk_errors():
                self.workdir.save_weights(self.trainer.model)
                self.workdir.write_hparams(hparams, parts)
                self._writer.flush()
        self.saved = self.step

    def _draw(self):
        if self.trainer.is_chief:
            with self.trainer.evaluation_weights():
                picture = self._grid()
            with self._disk_errors():
                with self._writer.as_default(self.step):
                    tf.summary.image("input, samples, original", np.asarray(picture)[None])
                self._writer.flush()  # first: a picture that exists is not drawn or shown again
                images.save(picture, self._picture())
        self.drawn = self.step

    def _grid(self):
        """Returns a `PIL.Image` of samples for the first images, beside inputs and originals."""
        hparams, schedule = self.trainer.hparams, self.schedule
        first = self.validation_set.first(schedule.sample_images)
        low_res, high_res = pipeline.evaluation_arrays(first, hparams.data, hparams.model.scale)
        count, sampling = schedule.num_samples, Sampling(schedule.tau)
        total = len(low_res) * count
        print(f"drawing {total} samples", file=sys.stderr)
        drawn = samplers.draw_samples(
            self._sampler, low_res, count, hparams.training.seed, sampling, total
        )
        rows = [[low, *samples, high] for low, samples, high in zip(low_res, drawn, high_res)]
        return plotting.sheet(rows, ["input", *["sample"] * count, "original"])

    def _picture(self):
        return self.workdir.samples / f"step_{self.step:08d}.png"

    def _disk_errors(self):
        return files.disk_errors(self.workdir.path, files.CHECKPOINTS_STAY)

    @contextlib.contextmanager
    def _closing_writer(self):
        """Closes the summary writer; its write errors do not hide an earlier error."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(tf.errors.OpError):
                self._writer.close()
            raise
        with self._disk_errors():
            self._writer.close()
