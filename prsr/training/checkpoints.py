"""Writes and restores the checkpoints from which training resumes."""

import shutil
import sys

import tensorflow as tf

from prsr.system.errors import UserError, first_line

_KEPT = 3


def steps(workdir):
    """Returns the steps of complete checkpoints, newest last (the index file is written last)."""
    indices = workdir.checkpoints.glob("ckpt-*.index")
    numbers = (index.stem.removeprefix("ckpt-") for index in indices)
    return sorted(int(number) for number in numbers if number.isdecimal())


def write(trainer, workdir):
    """Writes the checkpoint of this step unless it exists, and deletes old ones."""
    if trainer.step not in steps(workdir):
        trainer.checkpoint.write(str(workdir.checkpoints / f"ckpt-{trainer.step}"))
    for step in steps(workdir)[:-_KEPT]:
        for path in workdir.checkpoints.glob(f"ckpt-{step}.*"):
            path.unlink()
    # Leftovers of killed runs, no longer needed once a newer checkpoint is complete.
    for path in workdir.checkpoints.glob("broken-*"):
        path.unlink()
    for folder in workdir.checkpoints.glob("ckpt-*_temp"):
        shutil.rmtree(folder, ignore_errors=True)


def restore(trainer, workdir):
    """Loads the newest readable checkpoint; with several machines, the chief chooses it."""
    newest = _restore_newest(trainer, workdir) if trainer.is_chief else 0
    (step,), *_ = trainer.all_gather([newest])
    if step and not trainer.is_chief:
        path = workdir.checkpoints / f"ckpt-{step}"
        try:
            _read(trainer, path)
        except Exception as error:  # as below
            raise UserError(
                f"the chief resumes from {path}, which this worker cannot read "
                f"({first_line(error)}); put the run directory in a folder that all workers share"
            ) from error


def _read(trainer, path):
    """Loads all variables from a checkpoint."""
    checkpoint = trainer.checkpoint
    if not any("rate_factor" in name for name, _ in tf.train.list_variables(str(path))):
        # Version 0.2 kept the factor elsewhere.
        checkpoint = tf.train.Checkpoint(model=checkpoint.model, optimizer=checkpoint.optimizer)
        trainer.rate_factor.assign(1.0)
    checkpoint.read(str(path)).assert_consumed()


def _restore_newest(trainer, workdir):
    """Loads the newest readable checkpoint and returns its step, or 0 if there is none."""
    found = steps(workdir)
    for step in reversed(found):
        path = workdir.checkpoints / f"ckpt-{step}"
        try:
            _read(trainer, path)
        except Exception as error:  # broken files raise IndexError and others
            print(
                f"cannot resume from {path} ({first_line(error)}); trying the one before",
                file=sys.stderr,
            )
            for broken in workdir.checkpoints.glob(f"ckpt-{step}.*"):
                broken.rename(broken.with_name(f"broken-{broken.name}"))
        else:
            print(f"resuming from step {step:,} ({path})", file=sys.stderr)
            return step
    if found or workdir.weights.exists():
        raise UserError(
            f"no checkpoint in {workdir.checkpoints} is readable, so this run cannot be resumed; "
            f"train in another run directory"
        )
    return 0
