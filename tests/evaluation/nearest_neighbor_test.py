import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from prsr.data import pipeline, records, sources
from prsr.evaluation import nearest_neighbor
from prsr.evaluation.nearest_neighbor import NearestNeighbor
from prsr.hparams import DataHparams


def pictures(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def database(low_res, high_res, block):
    return [
        (low_res[i : i + block], tf.constant(high_res[i : i + block]))
        for i in range(0, len(low_res), block)
    ]


def brute_force(queries, low_res):
    """The reference: integer arithmetic, one query at a time, the first of equals."""
    flat = low_res.reshape(len(low_res), -1).astype(np.int64)
    return [int(np.square(flat - q.ravel()).sum(axis=1).argmin()) for q in queries.astype(np.int64)]


@pytest.mark.parametrize("block", [1, 7, 50, 64])
def test_equals_brute_force_however_database_and_queries_are_cut(block, monkeypatch):
    monkeypatch.setattr(nearest_neighbor, "_QUERIES", 9)
    low_res, high_res = pictures(50, 8), pictures(50, 32, seed=1)
    queries = np.concatenate([pictures(20, 8, seed=2), low_res[[49, 0, 13]]])
    found = NearestNeighbor(database(low_res, high_res, block), 50).predict(queries)
    np.testing.assert_array_equal(found, high_res[brute_force(queries, low_res)])
    np.testing.assert_array_equal(found[-3:], high_res[[49, 0, 13]])  # itself is nearest


def test_the_distance_is_euclidean_and_exact():
    """Of two nearly as far, and of one that the sum of absolute differences would choose."""
    query = np.full((1, 8, 8, 3), 255, np.uint8)
    near, far = np.zeros((2, 8, 8, 3), np.uint8)
    near[0, 0, 0] = 1  # |q - d|^2 is 192 * 255^2, less 255^2 - 254^2
    # Off by 6 everywhere, or by 100 once.
    blurred, spot = query[0] - 6, query[0].copy()
    spot[0, 0, 0] = 155  # squares: 10,000 against 6,912; absolute: 100 against 1,152
    high_res = pictures(2, 32)
    for pair in ((far, near), (near, far)):
        found = NearestNeighbor(database(np.stack(pair), high_res, 2), 2).predict(query)
        expected = 0 if pair[0] is near else 1
        np.testing.assert_array_equal(found[0], high_res[expected])
    found = NearestNeighbor(database(np.stack([blurred, spot]), high_res, 2), 2).predict(query)
    np.testing.assert_array_equal(found[0], high_res[0])


def test_of_equally_near_ones_the_first_counts():
    low_res, high_res = np.repeat(pictures(1, 8), 6, axis=0), pictures(6, 32)
    for block in (2, 6):
        found = NearestNeighbor(database(low_res, high_res, block), 6).predict(low_res[:1])
        np.testing.assert_array_equal(found[0], high_res[0])


def test_streams_from_records_in_bounded_memory(tmp_path):
    """Equal to the search in memory, and Python never holds more than a few blocks."""
    high_res = pictures(3000, 32)
    for part in range(3):
        records.write(
            tmp_path / f"train-{part:05d}.tfrecord", high_res[part * 1000 : (part + 1) * 1000]
        )
    data = DataHparams(dataset=f"records:{tmp_path}")
    source = sources.open_source(data.dataset, data.split, 3)
    blocks, count = pipeline.blocks(source, data, 4, "train", 100)
    assert count == 3000
    low_res = np.concatenate([low for low, _ in blocks.as_numpy_iterator()])
    queries = low_res[[2999, 1234, 0]]
    tracemalloc.start()
    found = NearestNeighbor(blocks, count).predict(queries)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, high_res[[2999, 1234, 0]])
    assert peak < high_res.nbytes / 4
