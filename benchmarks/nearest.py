"""Times the nearest neighbour search against faiss in memory, and from records on disk."""

import importlib.util
import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf

from benchmarks import rounds
from prsr.data import pipeline, records, sources
from prsr.evaluation.nearest_neighbor import BLOCK, Search, find_nearest
from prsr.hparams import DataHparams

OURS, FAISS = "ours", "faiss-cpu, IndexFlatL2"


def _noise(shape, seed):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def compare(database_images, queries, num_rounds):
    """Times our search and faiss's exact index, in turn, on 8x8 RGB noise images in memory.

    Args:
        database_images: number of images to search.
        queries: number of images to look up.
        num_rounds: how many times each is timed, as in `rounds.interleave`.

    Returns:
        A list of dicts, one per contender; faiss is included only if it is installed.
    """
    entries, wanted = _noise((database_images, 8, 8, 3), 0), _noise((queries, 8, 8, 3), 1)
    found = {}

    def ours():
        search, nearest = Search(wanted), np.zeros(queries, np.int64)
        for start in range(0, database_images, BLOCK):
            nearer, index = search.add(tf.constant(entries[start : start + BLOCK]))
            nearest[nearer] = start + index
        found[OURS] = nearest

    contenders = {OURS: ours}
    if importlib.util.find_spec("faiss"):
        import faiss

        index = faiss.IndexFlatL2(8 * 8 * 3)
        index.add(entries.reshape(database_images, -1).astype(np.float32))
        flat = wanted.reshape(queries, -1).astype(np.float32)

        def theirs():
            found[FAISS] = index.search(flat, 1)[1][:, 0]

        contenders[FAISS] = theirs
    matrix, matrix_operations = rounds.matrix_product()
    medians, _ = rounds.interleave({**contenders, rounds.MATRIX: matrix}, num_rounds)
    rate = matrix_operations / medians[rounds.MATRIX]
    products = 2 * database_images * queries * 8 * 8 * 3
    return [
        {
            "variant": name,
            "database_images": database_images,
            "queries": queries,
            "seconds": medians[name],
            "ours_relative": medians[OURS] / medians[name],
            "of_matrix_rate": products / medians[name] / rate,
            "mean_distance": _distance(wanted, entries[found[name]]),
        }
        for name in contenders
    ]


def _distance(one, other):
    """Euclidean distance, averaged over images; the same for every exact search."""
    squares = np.square(one.astype(np.int64) - other.astype(np.int64))
    return float(np.sqrt(squares.sum(axis=(1, 2, 3))).mean())


def streaming(database_images, queries):
    """Times the whole baseline from records on disk: reading, reducing to 8x8, searching.

    Args:
        database_images: number of 32x32 RGB noise images to write (3,088 bytes each) and read.
        queries: number of images to look up at once.

    Returns:
        A dict: both counts, seconds, images per second, and the peak memory, in GiB, of the
        separate process that searches.
    """
    per_file = 100_000
    with tempfile.TemporaryDirectory() as folder:
        for number, start in enumerate(range(0, database_images, per_file)):
            count = min(per_file, database_images - start)
            path = pathlib.Path(folder) / f"train-{number:05d}.tfrecord"
            records.write(path, _noise((count, 32, 32, 3), number))
        spent, peak = rounds.in_own_process(_search_records, folder, queries)
    return {
        "database_images": database_images,
        "queries": queries,
        "seconds": spent,
        "images_per_second": database_images / spent,
        "peak_gib": peak,
    }


def _search_records(folder, queries):
    data = DataHparams(dataset=f"records:{folder}")
    begin = time.perf_counter()
    source = sources.open_source(data.dataset, data.split, 3)
    find_nearest(*pipeline.blocks(source, data, 4, "train", BLOCK), _noise((queries, 8, 8, 3), 2))
    return time.perf_counter() - begin, rounds.peak_gib()
