"""Reports training progress to the terminal, metrics.jsonl and TensorBoard."""

import collections
import contextlib
import sys
import time

import tensorflow as tf

from prsr.system import files, progress


def forget_summaries_after(step, logs):
    """Drops TensorBoard's events written after the checkpoint from which the run resumes."""
    for path in logs.glob("events.*"):
        events = []
        with contextlib.suppress(tf.errors.DataLossError):  # killed while writing the last one
            events += tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        kept = [event for event in events if tf.compat.v1.Event.FromString(event).step <= step]
        if kept != events:
            with files.replacing(path) as partial, tf.io.TFRecordWriter(str(partial)) as writer:
                for event in kept:
                    writer.write(event)


class Reporter:
    """Prints scores and speed, and records them in a `Workdir` and with a `SummaryWriter`."""

    def __init__(self, trainer, workdir, writer):
        self.trainer, self.workdir, self.writer = trainer, workdir, writer
        self.totals, self.count = collections.Counter(), 0
        self.started = time.monotonic()
        self.total_steps = trainer.hparams.training.train_steps

    def add(self, scores):
        """Adds the scores of one step."""
        self.totals.update(scores)
        self.count += 1

    @contextlib.contextmanager
    def paused(self):
        """Excludes the enclosed time from the step rate."""
        begin = time.monotonic()
        yield
        self.started += time.monotonic() - begin

    def log(self, step):
        """Prints and records the means since the last call."""
        means = {name: total / self.count for name, total in self.totals.items()}
        rate = self.count / (time.monotonic() - self.started)
        self.totals, self.count, self.started = collections.Counter(), 0, time.monotonic()
        norm = means.pop("gradient_norm")
        scores = self._readable(means)
        record = {f"train/{name}": value for name, value in scores.items()}
        record["train/gradient_norm"] = norm
        record["learning_rate"] = self.trainer.learning_rate
        record["steps_per_second"] = rate
        record["examples_per_second"] = rate * self.trainer.hparams.training.global_batch_size
        self._write(step, record)
        left = progress.clock((self.total_steps - step) / rate)
        print(
            f"step {step:,} of {self.total_steps:,}: {_score_line(scores)}; {rate:.3g} steps/s, "
            f"{left} left",
            file=sys.stderr,
        )

    def validated(self, step, means, count):
        """Prints and records the result of `Trainer.evaluate` for `count` images."""
        scores = self._readable(means)
        self._write(step, {f"validation/{name}": value for name, value in scores.items()})
        images = progress.counted(count, "image")
        print(f"step {step:,}: validation on {images}: {_score_line(scores)}", file=sys.stderr)

    def has_validated(self, step):
        """Whether a validation at this step was recorded."""
        return any(
            record["step"] == step and any(name.startswith("validation/") for name in record)
            for record in self.workdir.read_metrics()
        )

    def _readable(self, means):
        """Adds what is optimised: for the paper's model CE(A + B) + CE(A), the sum 2A + B."""
        model, weight = self.trainer.model, self.trainer.hparams.training.conditioning_weight
        scores = model.readable(means, self.trainer.image_shape)
        return {**scores, "loss": model.objective(means, weight)}

    def _write(self, step, record):
        if not self.trainer.is_chief:
            return
        with files.disk_errors(self.workdir.path, files.CHECKPOINTS_STAY):
            with self.writer.as_default(step):
                for name, value in record.items():
                    tf.summary.scalar(name, value)
            self.writer.flush()  # first: what is in metrics.jsonl is not done or shown again
            self.workdir.append_metrics({"step": step, **record})


def _score_line(scores):
    if "mean_squared_error" in scores:
        return f"mean squared error {scores['mean_squared_error']:.5f}"
    joint, conditioning, prior = (
        scores.get(f"bits_per_dim/{name}") for name in ("joint", "conditioning", "prior")
    )
    if joint is None:
        return f"{conditioning:.3f} bits/dim"
    return f"{joint:.3f} bits/dim (A alone {conditioning:.3f}, B alone {prior:.3f})"
