"""The yardsticks compute what our train step computes; otherwise their times mean nothing."""

import time

import keras
import numpy as np
import pytest

from prsr.benchmarks import full_kernels, sampling
from prsr.benchmarks import training as benchmark
from prsr.hparams import DataHparams, Hparams, ModelHparams, TrainingHparams
from prsr.training.trainer import Trainer

HPARAMS = Hparams(
    model=ModelHparams(
        blocks_per_stage=1, conditioning_width=4, prior_width=7, prior_layers=2, prior_hidden=8
    ),
    data=DataHparams(image_size=8),
    training=TrainingHparams(global_batch_size=4),
)


def cropped(full, layer):
    """The taps of a full kernel that a cropped layer keeps."""
    height, width = layer.kernel.shape[:2]
    top = full.first_row
    return full.kernel.numpy()[top : top + height, :width]


def test_full_kernels_times_masks_are_the_same_function():
    with full_kernels.in_place():
        full = sampling.build(HPARAMS)
    ours = sampling.build(HPARAMS)
    assert full.count_params() > ours.count_params()
    rng = np.random.default_rng(0)
    for theirs, layer in zip(
        full.prior._flatten_layers(include_self=False), ours.prior._flatten_layers(False)
    ):
        if isinstance(theirs, full_kernels.VerticalConv | full_kernels.HorizontalConv):
            layer.kernel.assign(cropped(theirs, layer))
        elif isinstance(layer, keras.layers.Dense):
            layer.kernel.assign(theirs.kernel)
    high_res = rng.integers(0, 256, (2, 8, 8, 3))
    np.testing.assert_allclose(full.prior(high_res), ours.prior(high_res), atol=1e-4)


def test_pytorch_trains_as_we_do():
    """Losses before each of four updates: both networks, equation 8 and RMSProp."""
    pytest.importorskip("torch", reason="torch, a yardstick of the benchmark, is not installed")
    from prsr.benchmarks import torch_step

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


def test_the_pipeline_is_waited_for(monkeypatch):
    """A pipeline that takes a tenth of a second a batch keeps these small steps waiting."""

    def slow(self):
        while True:
            time.sleep(0.1)
            yield batch

    batch = next(iter(benchmark.trainer(HPARAMS, benchmark.OURS).pairs()))
    monkeypatch.setattr(benchmark.rounds, "seconds", lambda function: 2.0)
    # `Trainer` itself asks for batches, of a data set.
    trainer = benchmark.trainer(HPARAMS, benchmark.OURS)
    monkeypatch.setattr(benchmark, "trainer", lambda *_: trainer)
    monkeypatch.setattr(type(trainer), "pairs", slow)
    monkeypatch.setattr(benchmark, "_PIPELINE_BATCHES", 3)
    measured = benchmark.pipeline(HPARAMS, num_steps=3)
    assert measured["waiting_share"] > 0.5
    assert measured["pipeline_images_per_second"] == 3 * 4 / 2
    assert measured["training_images_per_second"] < 4 / 0.1


@pytest.mark.slow
def test_every_variant_of_the_step():
    rows = benchmark.compare(HPARAMS, 1)
    assert [row["variant"] for row in rows] == benchmark.variants()
    assert all(0.1 < row["peak_gib"] < 8 and row["seconds"] > 0 for row in rows)
