"""Which numbers of devices share a batch, without the processes that would."""

import dataclasses

import pytest
import tensorflow as tf

from benchmarks import replicas, rounds
from prsr.hparams import Hparams, TrainingHparams


class Pool:
    """In the place of a process of so many devices."""

    begun = []

    def __init__(self, workers, context, begin, arguments):
        self.begun.append(arguments[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize(
    ("batch", "gpus", "counts"),
    [(32, 0, [1, 2, 4, 8]), (6, 0, [1, 2]), (5, 0, [1]), (32, 2, [1, 2]), (32, 1, [1])],
)
def test_numbers_that_divide_the_batch_and_that_there_are(monkeypatch, batch, gpus, counts):
    monkeypatch.setattr(Pool, "begun", [])
    monkeypatch.setattr(replicas.futures, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["one"] * gpus)
    monkeypatch.setattr(
        rounds, "interleave", lambda asked, _: ({count: 2.0 + count for count in asked}, {})
    )
    training = dataclasses.replace(TrainingHparams(), global_batch_size=batch)
    rows = replicas.compare(Hparams(training=training), 1)
    assert [row["devices"] for row in rows] == Pool.begun == counts
    assert [row["relative"] for row in rows] == [(2.0 + count) / 3 for count in counts]
    assert {row["kind"] for row in rows} == {"GPU" if gpus else "CPU"}
