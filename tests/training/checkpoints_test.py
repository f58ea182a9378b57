"""Training goes on from the newest checkpoint that is whole."""

import random
import shutil

import numpy as np
import pytest

from prsr.system.errors import UserError
from prsr.training import checkpoints
from prsr.training.trainer import Trainer
from prsr.workdir.directory import Workdir
from tests.conftest import assert_one_line, call
from tests.data.pictures import load


def test_weights_without_a_checkpoint_are_not_overwritten(tiny_run, tmp_path):
    copy = shutil.copytree(tiny_run, tmp_path / "copy")
    shutil.rmtree(copy / "checkpoints")
    metrics = (copy / "metrics.jsonl").read_text()
    assert_one_line(call("train", f"--workdir={copy}", "--train_steps=9"), "no checkpoint")
    assert (copy / "metrics.jsonl").read_text() == metrics
    assert (copy / "model.weights.h5").read_bytes() == (tiny_run / "model.weights.h5").read_bytes()


@pytest.fixture(scope="module")
def trainer(uninterrupted):
    hparams = Workdir(uninterrupted).read_hparams()
    return Trainer(hparams, load(hparams.data))


def state(trainer):
    variables = [*trainer.model.variables, *trainer.optimizer.variables]
    return [variable.numpy() for variable in variables]


def damaged(content, rng):
    """Cut off, or with a few bits flipped, half of them among the last bytes."""
    size = len(content)
    if rng.random() < 0.3:
        return content[: rng.randrange(size)]
    result = bytearray(content)
    for _ in range(rng.choice([1, 1, 8])):
        place = rng.choice([rng.randrange(size), size - rng.randint(1, 64)])
        result[place] ^= 1 << rng.randrange(8)
    return bytes(result)


@pytest.mark.parametrize("ending", ["data-00000-of-00001", "index"])
def test_damage_to_a_checkpoint_is_noticed(trainer, uninterrupted, tmp_path, capsys, ending):
    """The checkpoint before is restored bit for bit, unless no value was damaged."""
    rng = random.Random(ending)
    saved = {}
    for step in (12, 14):
        trainer.checkpoint.read(str(uninterrupted / "checkpoints" / f"ckpt-{step}"))
        saved[step] = state(trainer)
    harmless = 0
    for case in range(80):
        copy = tmp_path / str(case)
        shutil.copytree(uninterrupted / "checkpoints", copy / "checkpoints")
        path = copy / "checkpoints" / f"ckpt-14.{ending}"
        path.write_bytes(damaged(path.read_bytes(), rng))
        for variable in [*trainer.model.variables, *trainer.optimizer.variables]:
            variable.assign(np.full(variable.shape, 7))
        checkpoints.restore(trainer, Workdir(copy))
        said = capsys.readouterr().err
        noticed = "cannot resume from" in said
        harmless += not noticed
        assert f"resuming from step {12 if noticed else 14} " in said
        for expected, actual in zip(saved[12 if noticed else 14], state(trainer)):
            np.testing.assert_array_equal(actual, expected, err_msg=f"case {case}: {said}")
    assert harmless < 40  # an index ends in unused bytes; there is nothing else that is


def test_a_run_without_a_readable_checkpoint_is_refused(trainer, uninterrupted, tmp_path, capsys):
    shutil.copytree(uninterrupted / "checkpoints", tmp_path / "checkpoints")
    for path in (tmp_path / "checkpoints").glob("*.index"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoints.restore(trainer, Workdir(tmp_path))
    assert capsys.readouterr().err.count("trying the one before") == 3
    assert len(checkpoints.steps(Workdir(tmp_path))) == 3


def test_damaged_checkpoints_go_when_an_earlier_step_is_saved(trainer, uninterrupted, tmp_path):
    shutil.copytree(uninterrupted / "checkpoints", tmp_path / "checkpoints")
    for step in (12, 14):
        (tmp_path / "checkpoints" / f"ckpt-{step}.index").write_bytes(b"")
    workdir = Workdir(tmp_path)
    assert checkpoints.restore(trainer, workdir) == 9
    assert checkpoints.steps(workdir) == [9, 12, 14]
    checkpoints.write(trainer, workdir)
    assert checkpoints.steps(workdir) == [9]


def test_a_checkpoint_that_cannot_be_opened_is_an_error(trainer, uninterrupted, tmp_path):
    """The file is named; training does not continue from an earlier checkpoint."""
    shutil.copytree(uninterrupted / "checkpoints", tmp_path / "checkpoints")
    path = tmp_path / "checkpoints" / "ckpt-14.data-00000-of-00001"
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(OSError, match=path.name):
        checkpoints.restore(trainer, Workdir(tmp_path))
