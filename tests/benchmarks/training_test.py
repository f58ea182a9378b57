"""The yardsticks compute what our train step computes; otherwise their times mean nothing."""

import numpy as np
import pytest

from benchmarks import sampling
from benchmarks import training as benchmark
from prsr.hparams import DataHparams, Hparams, ModelHparams
from prsr.training.trainer import Trainer
from tests.training.trainer_test import HPARAMS


def test_operations_by_hand():
    """One gated layer of 3 features, no ResNet block, a 4x4 image from a 2x2 one, 1 channel."""
    sizes = ModelHparams(
        channels=1,
        scale=2,
        blocks_per_stage=0,
        conditioning_width=5,
        prior_width=3,
        prior_layers=1,
        prior_hidden=2,
    )
    model = sampling.build(Hparams(model=sizes, data=DataHparams(image_size=4)))
    first = 4 * 7 * 3 + 4 * 3  # 7x7: rows above and own, and left and own, 1 to 3 features
    gated = 3 * 5 * 3 * 6 + 6 * 6 + 3 * 3 * 6 + 3 * 3
    head = 3 * 2 + 2 * 256
    prior = 16 * (first + gated + head)
    conditioning = 4 * 1 * 5 + 4 * 9 * 5 * 5 + 16 * 5 * 256
    assert benchmark.forward_operations(model, 4) == 2 * (prior + conditioning)


@pytest.mark.slow
def test_every_variant_of_the_step_is_timed():
    rows = benchmark.compare(HPARAMS, 1)
    assert [row["variant"] for row in rows] == benchmark.variants()
    assert all(0.1 < row["peak_gib"] < 8 and row["seconds"] > 0 for row in rows)


def test_pytorch_s_steps_equal_ours():
    """Losses over four updates agree: both networks, equation 8 and RMSProp."""
    pytest.importorskip("torch", reason="torch, a yardstick of the benchmark, is not installed")
    from benchmarks import torch_step

    ours = Trainer(HPARAMS, benchmark.image_set(HPARAMS, count=16))
    theirs = torch_step.Trainer(ours.model, HPARAMS.training)
    batches = iter(ours.pairs())
    losses = []
    for _ in range(4):
        low_res, high_res = next(batches)
        nats = float(ours.train_step((low_res, high_res))["joint"])
        np.testing.assert_allclose(theirs.train_step(low_res.numpy(), high_res.numpy()), nats, 1e-5)
        losses.append(nats)
    assert len(set(losses)) == 4
