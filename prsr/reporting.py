"""What a run says about itself while it trains: lines, metrics.jsonl, TensorBoard."""

import contextlib
import sys
import time

import tensorflow as tf

from prsr import losses, progress
from prsr.errors import UserError, first_line


class Reporter:
    """Prints and records scores and speed."""

    def __init__(self, trainer, workdir, writer, step):
        self.trainer, self.workdir, self.writer = trainer, workdir, writer
        self.totals, self.count = {}, 0
        self.started = time.monotonic()
        self.total_steps = trainer.hparams.training.train_steps

    def add(self, scores):
        for name, value in scores.items():
            self.totals[name] = self.totals.get(name, 0.0) + float(value)
        self.count += 1

    @contextlib.contextmanager
    def paused(self):
        """Leaves out of the steps per second what is no step."""
        begin = time.monotonic()
        yield
        self.started += time.monotonic() - begin

    def log(self, step):
        """Means since the last call."""
        means = {name: total / self.count for name, total in self.totals.items()}
        rate = self.count / (time.monotonic() - self.started)
        self.totals, self.count, self.started = {}, 0, time.monotonic()
        scores = losses.readable(means, self.trainer.image_shape)
        record = {f"train/{name}": value for name, value in scores.items()}
        record["train/gradient_norm"] = means["gradient_norm"]
        record["learning_rate"] = self.trainer.learning_rate
        record["steps_per_second"] = rate
        record["examples_per_second"] = rate * self.trainer.hparams.training.global_batch_size
        self._write(step, record)
        left = progress.clock((self.total_steps - step) / rate)
        print(
            f"step {step:,} of {self.total_steps:,}: {_line(scores)}; {rate:.3g} steps/s, "
            f"{left} left",
            file=sys.stderr,
        )

    def validate(self, step, validation_set):
        trainer = self.trainer
        means = trainer.evaluate(trainer.evaluation_batches(validation_set))
        scores = losses.readable(means, trainer.image_shape)
        record = {f"validation/{name}": value for name, value in scores.items()}
        self._write(step, record)
        print(
            f"step {step:,}: validation on {len(validation_set)} images: {_line(scores)}",
            file=sys.stderr,
        )

    def has_validated(self, step):
        return any(
            record["step"] == step and any(name.startswith("validation/") for name in record)
            for record in self.workdir.read_metrics()
        )

    def _write(self, step, record):
        if not self.trainer.is_chief:
            return
        with disk_errors(self.workdir.path):
            self.workdir.append_metrics({"step": step, **record})
            with self.writer.as_default(step):
                for name, value in record.items():
                    tf.summary.scalar(name, value)


def _line(scores):
    if "mean_squared_error" in scores:
        return f"mean squared error {scores['mean_squared_error']:.5f}"
    joint, conditioning, prior = (
        scores.get(f"bits_per_dim/{name}") for name in ("joint", "conditioning", "prior")
    )
    if joint is None:
        return f"{conditioning:.3f} bits/dim"
    return f"{joint:.3f} bits/dim (A alone {conditioning:.3f}, B alone {prior:.3f})"


@contextlib.contextmanager
def disk_errors(path):
    """A failed write ends the run in one line; what was saved before stays."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"could not write to --workdir={path} ({first_line(error)}); earlier checkpoints are "
            f"untouched: make room or permission, and run the same command again"
        ) from error
