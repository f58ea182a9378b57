import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from prsr.data import pipeline, records, sources
from prsr.evaluation import nearest_neighbor
from prsr.evaluation.nearest_neighbor import find_nearest
from prsr.hparams import DataHparams


def pictures(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def search(low_res, high_res, block, queries):
    blocks = range(0, len(low_res), block)
    database = [(low_res[i : i + block], tf.constant(high_res[i : i + block])) for i in blocks]
    return find_nearest(database, len(low_res), queries)


@pytest.mark.parametrize("block", [1, 7, 50, 64])
def test_the_search_equals_brute_force_in_blocks_of_any_size(block, monkeypatch):
    """The reference uses integers, one query at a time; the first of equals counts."""
    monkeypatch.setattr(nearest_neighbor, "_QUERIES", 9)
    low_res, high_res = pictures(50, 8), pictures(50, 32, seed=1)
    low_res[[5, 30]] = low_res[0]
    queries = np.concatenate([pictures(20, 8, seed=2), low_res[[49, 30, 13]]])
    flat = low_res.reshape(50, -1).astype(int)
    expected = [np.square(flat - q.ravel()).sum(axis=1).argmin() for q in queries.astype(int)]
    assert expected[-3:] == [49, 0, 13]
    np.testing.assert_array_equal(search(low_res, high_res, block, queries), high_res[expected])


def test_the_distance_is_euclidean_and_exact():
    """Squares decide, not absolute values; neighbours that differ by one are told apart."""
    query = np.full((1, 8, 8, 3), 255, np.uint8)
    far, near = np.zeros((2, 8, 8, 3), np.uint8)
    near[0, 0, 0] = 1  # |q - d|^2 is 192 * 255^2, less 255^2 - 254^2
    # Off by 6 everywhere, or by 100 once.
    blurred, spot = query[0] - 6, query[0].copy()
    spot[0, 0, 0] = 155  # squares: 10,000 against 6,912; absolute: 100 against 1,152
    high_res = pictures(2, 32)
    for pair, nearest in (((far, near), 1), ((near, far), 0), ((blurred, spot), 0)):
        found = search(np.stack(pair), high_res, 2, query)
        np.testing.assert_array_equal(found[0], high_res[nearest])


def test_a_search_in_records_holds_a_few_blocks_at_a_time(tmp_path):
    """It finds what the search in memory finds."""
    high_res = pictures(3000, 32)
    for part, images in enumerate(np.split(high_res, 3)):
        records.write(tmp_path / f"train-{part:05d}.tfrecord", images)
    data = DataHparams(dataset=f"records:{tmp_path}")
    source = sources.open_source(data.dataset, data.split, 3)
    blocks, count = pipeline.blocks(source, data, 4, "train", 100)
    assert count == 3000
    low_res = np.concatenate([low for low, _ in blocks.as_numpy_iterator()])
    tracemalloc.start()
    found = find_nearest(blocks, count, low_res[[2999, 1234, 0]])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, high_res[[2999, 1234, 0]])
    assert peak < high_res.nbytes / 4
