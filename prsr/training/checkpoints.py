"""Writes and restores the checkpoints from which training resumes."""

import sys

import tensorflow as tf

from prsr.system import files
from prsr.system.errors import UserError, first_line

_KEPT = 3


def steps(workdir):
    """Returns the steps of complete checkpoints, newest last (the index file is moved last)."""
    indices = workdir.checkpoints.glob("ckpt-*.index")
    numbers = (index.stem.removeprefix("ckpt-") for index in indices)
    return sorted(int(number) for number in numbers if number.isdecimal())


def write(trainer, workdir, resumed=None):
    """Writes the checkpoint of this step, keeps the two before, and deletes all others.

    The one of the step from which training resumed is there already.
    """
    index = workdir.checkpoints / f"ckpt-{trainer.step}.index"
    if trainer.step != resumed:
        with files.replacing(index) as partial:  # the index last
            trainer.checkpoint.write(str(partial.with_suffix("")))
            for data in partial.parent.glob(f"{partial.stem}.data-*"):
                data.replace(index.with_suffix(data.suffix))
    found = steps(workdir)
    # Later ones are damaged, or training would have resumed from them.
    kept = [step for step in found if step <= trainer.step][-_KEPT:]
    for step in set(found).difference(kept):
        for path in sorted(workdir.checkpoints.glob(f"ckpt-{step}.*")):  # the index last
            path.unlink()


def restore(trainer, workdir):
    """Loads the newest undamaged checkpoint, which the chief chooses, and returns its step.

    Returns None if there is none. Raises `UserError` if all are damaged, and `OSError` if one
    cannot be opened.
    """
    with files.without_wildcards(workdir.checkpoints) as folder:
        newest = _restore_newest(trainer, workdir, folder) if trainer.is_chief else None
        (step,), *_ = trainer.all_gather([-1 if newest is None else newest])
        try:
            if step >= 0 and not trainer.is_chief:
                _read_checkpoint(trainer, folder / f"ckpt-{step}")
        except Exception as error:  # as below
            raise UserError(
                f"the chief resumes from {workdir.checkpoints}/ckpt-{step}, which this worker "
                f"cannot read ({first_line(error)}); put the run directory in a folder that all "
                f"workers share"
            ) from error
    return step if step >= 0 else None


def _read_checkpoint(trainer, path):
    """Loads all variables from a checkpoint."""
    checkpoint = trainer.checkpoint
    if not any("rate_factor" in name for name, _ in tf.train.list_variables(str(path))):
        # Version 0.2 kept the factor elsewhere.
        checkpoint = tf.train.Checkpoint(model=checkpoint.model, optimizer=checkpoint.optimizer)
        trainer.rate_factor.assign(1.0)
    checkpoint.read(str(path)).assert_consumed()


def _restore_newest(trainer, workdir, folder):
    """Loads the newest undamaged checkpoint and returns its step, or None if there is none."""
    found = steps(workdir)
    for step in reversed(found):
        path = workdir.checkpoints / f"ckpt-{step}"
        for file in workdir.checkpoints.glob(f"{path.name}.*"):
            file.open("rb").close()  # what cannot be opened is not damaged
        try:
            _read_checkpoint(trainer, folder / path.name)
        except Exception as error:  # broken files raise IndexError and others
            print(
                f"cannot resume from {path} ({first_line(error)}); trying the one before",
                file=sys.stderr,
            )
        else:
            print(f"resuming from step {step:,} ({path})", file=sys.stderr)
            return step
    if found or workdir.weights.exists():
        raise UserError(
            f"no checkpoint in {workdir.checkpoints} is readable, so this run cannot be resumed; "
            f"train in another run directory"
        )
    return None
