"""The competitor in PyTorch trains as we do."""

import numpy as np
import pytest

from benchmarks import training as benchmark
from prsr.training.trainer import Trainer
from tests.benchmarks.suite_test import HPARAMS


def test_pytorch_trains_as_we_do():
    """Losses before each of four updates: both networks, equation 8 and RMSProp."""
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
