"""What a run says about itself."""

import numpy as np
import pytest
import tensorflow as tf

from prsr.hparams import Hparams, TrainingHparams
from prsr.models import PixelRecursiveSuperResolution, RegressionNetwork
from prsr.training import reporting
from prsr.workdir.directory import Workdir
from tests.runs import summaries


def test_tensorboard_shows_scalars_and_images(tiny_run):
    tags = {tag: [step for step, _ in steps] for tag, steps in summaries(tiny_run).items()}
    for name in ("joint", "conditioning", "prior"):
        assert tags[f"train/bits_per_dim/{name}"] == [1, 2, 3, 4, 5, 6]
        assert tags[f"validation/bits_per_dim/{name}"] == [4, 6]
    assert tags["train/loss"] == [1, 2, 3, 4, 5, 6] and tags["validation/loss"] == [4, 6]
    assert {"learning_rate", "examples_per_second", "input, samples, original"} <= tags.keys()


class FakeTrainer:
    """Trains on four 2x2 grey images per step, at learning rate 0.001."""

    model = PixelRecursiveSuperResolution(1, blocks_per_stage=0, prior_layers=1, prior_hidden=1)
    hparams = Hparams(training=TrainingHparams(train_steps=10, global_batch_size=4))
    image_shape, learning_rate, is_chief = (2, 2, 1), 1e-3, True


@pytest.fixture
def reporter(tmp_path, monkeypatch):
    """A reporter whose clock is `reporter.now`."""
    now = [0.0]
    monkeypatch.setattr(reporting.time, "monotonic", lambda: now[0])
    workdir = Workdir(tmp_path)
    reporter = reporting.Reporter(FakeTrainer(), workdir, tf.summary.create_noop_writer())
    reporter.now = now
    return reporter


def nats(bits):
    """Scores of a step whose images have so many bits a dimension, of four."""
    value = bits * 4 * np.log(2)
    return {"joint": value, "conditioning": 2 * value, "prior": value, "gradient_norm": bits}


def test_means_and_speed_by_hand(reporter, capsys):
    """Two steps in four seconds, of which three were spent on validation."""
    reporter.add(nats(1.0))
    with reporter.paused():
        reporter.now[0] = 3.0
    reporter.add(nats(3.0))
    reporter.now[0] = 4.0
    reporter.log(2)
    (record,) = reporter.workdir.read_metrics()
    assert record["step"] == 2 and record["learning_rate"] == 1e-3
    assert record["train/bits_per_dim/joint"] == pytest.approx(2.0)
    assert record["train/bits_per_dim/conditioning"] == pytest.approx(4.0)
    assert record["train/gradient_norm"] == pytest.approx(2.0)
    # Equation 8's sum, CE(A + B) + CE(A), in nats per image of four dimensions.
    assert record["train/loss"] == pytest.approx((2.0 + 4.0) * 4 * np.log(2))
    assert (record["steps_per_second"], record["examples_per_second"]) == (2.0, 8.0)
    assert capsys.readouterr().err == (
        "step 2 of 10: 2.000 bits/dim (A alone 4.000, B alone 2.000); 2 steps/s, 0:00:04 left\n"
    )
    reporter.add(nats(5.0))  # the means begin anew
    reporter.now[0] = 5.0
    reporter.log(3)
    assert reporter.workdir.read_metrics()[1]["train/bits_per_dim/joint"] == pytest.approx(5.0)


def test_a_validation_is_remembered(reporter, capsys):
    reporter.add(nats(1.0))
    reporter.now[0] = 1.0
    reporter.log(2)
    assert not reporter.has_validated(2)
    reporter.trainer.model = RegressionNetwork(1, blocks_per_stage=0)
    reporter.validated(2, {"squared_error": 0.4}, 7)
    assert reporter.workdir.read_metrics()[-1]["validation/loss"] == 0.4
    assert reporter.has_validated(2) and not reporter.has_validated(1)
    assert "step 2: validation on 7 images: mean squared error 0.10000" in capsys.readouterr().err
    reporter.trainer.is_chief = False  # another machine writes
    reporter.validated(3, {"squared_error": 0.4}, 7)
    assert not reporter.has_validated(3)
