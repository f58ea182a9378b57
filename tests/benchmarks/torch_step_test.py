"""The yardstick in PyTorch trains as we do."""

import dataclasses
import pathlib

import numpy as np
import pytest

from benchmarks import training as benchmark
from prsr.hparams import DataHparams, Hparams, ModelHparams, TrainingHparams
from prsr.training.trainer import Trainer

HPARAMS = Hparams(
    model=ModelHparams(
        blocks_per_stage=1, conditioning_width=4, prior_width=7, prior_layers=2, prior_hidden=8
    ),
    data=DataHparams(image_size=8),
    training=TrainingHparams(global_batch_size=4),
)


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


def test_the_step_for_gpus_trains_as_we_do(monkeypatch):
    """As above; its rate starts at zero in a run, not here."""
    torch = pytest.importorskip("torch", reason="torch, which the script needs, is not installed")
    monkeypatch.syspath_prepend(str(pathlib.Path(__file__).parents[2] / "experiments"))
    import gpu_training

    hparams = dataclasses.replace(
        HPARAMS,
        model=dataclasses.replace(HPARAMS.model, blocks_per_stage=2),
        data=DataHparams(image_size=32),
    )
    ours = Trainer(hparams, benchmark.image_set(hparams, count=16))
    network = gpu_training.Network(ours.model, "cpu", torch.float32)
    theirs = gpu_training.Step(network, 4, decay=0.9)
    theirs.rate.fill_(hparams.training.learning_rate)
    batches = iter(ours.pairs())
    for _ in range(4):
        pair = next(batches)
        nats = float(ours.train_step(pair)["joint"])
        theirs.sums.zero_()
        tensors = [torch.from_numpy(np.moveaxis(x.numpy(), -1, 1).copy()) for x in pair]
        theirs(*tensors, torch.zeros(4, 1, 1, 1, dtype=torch.bool))
        np.testing.assert_allclose(float(theirs.sums[0]) * 3072 * np.log(2), nats, 1e-5)
    network.assign(theirs.state["weights"])
    after = gpu_training.Network(ours.model, "cpu", torch.float32).vector()
    np.testing.assert_array_equal(after.numpy(), theirs.state["weights"].numpy())
