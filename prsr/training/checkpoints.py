"""What training continues from: written whole, found by their files."""

import shutil
import sys

from prsr.errors import UserError, first_line

_KEPT = 3


def steps(workdir):
    """The steps of the checkpoints, the newest last. A checkpoint's index is written last."""
    indices = workdir.checkpoints.glob("ckpt-*.index")
    numbers = (index.stem.removeprefix("ckpt-") for index in indices)
    return sorted(int(number) for number in numbers if number.isdecimal())


def write(trainer, workdir):
    """Writes the checkpoint of this step, if it is not there, and keeps the newest ones."""
    if trainer.step not in steps(workdir):
        trainer.checkpoint.write(str(workdir.checkpoints / f"ckpt-{trainer.step}"))
    for step in steps(workdir)[:-_KEPT]:
        for path in workdir.checkpoints.glob(f"ckpt-{step}.*"):
            path.unlink()
    # What kills left behind, of which nothing is needed once a newer checkpoint is whole.
    for path in workdir.checkpoints.glob("broken-*"):
        path.unlink()
    for folder in workdir.checkpoints.glob("ckpt-*_temp"):
        shutil.rmtree(folder, ignore_errors=True)


def restore(trainer, workdir):
    """Loads the newest checkpoint that can be read: the chief's choice, of several machines."""
    newest = _restore_newest(trainer, workdir) if trainer.is_chief else 0
    (step,), *_ = trainer.all_gather([newest])
    if step and not trainer.is_chief:
        path = workdir.checkpoints / f"ckpt-{step}"
        try:
            trainer.checkpoint.read(str(path)).assert_consumed()
        except Exception as error:  # as below
            raise UserError(
                f"the chief continues from {path}, which cannot be read here "
                f"({first_line(error)}); the run directory must be one folder that all workers see"
            ) from error


def _restore_newest(trainer, workdir):
    """Loads the newest checkpoint that can be read, and returns its step, 0 if there is none."""
    found = steps(workdir)
    for step in reversed(found):
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
    if found or workdir.weights.exists():
        raise UserError(
            f"there is no checkpoint in {workdir.checkpoints} that can be read, and there was "
            f"one; train in another run directory"
        )
    return 0
