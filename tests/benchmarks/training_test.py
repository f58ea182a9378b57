"""The yardsticks compute what our train step computes; otherwise their times mean nothing."""

import time

import pytest

from benchmarks import sampling
from benchmarks import training as benchmark
from prsr.hparams import DataHparams, Hparams, ModelHparams
from tests.benchmarks.suite_test import HPARAMS


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
    """A pipeline that takes a thousand seconds a batch, by the clock, keeps the steps waiting."""
    clock, late = time.perf_counter, [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + late[0])

    def slow(self):
        while True:
            late[0] += 1000
            yield batch

    batch = next(iter(benchmark.trainer(HPARAMS, benchmark.OURS).pairs()))
    monkeypatch.setattr(benchmark.rounds, "seconds", lambda function: 2.0)
    # `Trainer` itself asks for batches, of a data set.
    trainer = benchmark.trainer(HPARAMS, benchmark.OURS)
    monkeypatch.setattr(benchmark, "trainer", lambda *_: trainer)
    monkeypatch.setattr(type(trainer), "pairs", slow)
    monkeypatch.setattr(benchmark, "_PIPELINE_BATCHES", 3)
    measured = benchmark.pipeline(HPARAMS, num_steps=3)
    assert measured["waiting_share"] > 0.9
    assert measured["pipeline_images_per_second"] == 3 * 4 / 2
    assert measured["training_images_per_second"] < 4 / 1000


@pytest.mark.slow
def test_every_variant_of_the_step():
    rows = benchmark.compare(HPARAMS, 1)
    assert [row["variant"] for row in rows] == benchmark.variants()
    assert all(0.1 < row["peak_gib"] < 8 and row["seconds"] > 0 for row in rows)
