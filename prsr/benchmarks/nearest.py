"""Times the nearest neighbour search beside faiss, and from records."""

import importlib.util
import pathlib
import resource
import tempfile
import time

import numpy as np
import tensorflow as tf

from prsr.baselines.nearest_neighbor import BLOCK, NearestNeighbor, Search
from prsr.benchmarks import rounds
from prsr.data import pipeline, records
from prsr.hparams import DataHparams

OURS, FAISS = "ours", "faiss-cpu, IndexFlatL2"


def _noise(shape, seed):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def compare(database_images, queries, num_rounds):
    """Searches 8x8 RGB images of noise in memory, in turns with faiss' exact index.

    Args:
        database_images: images to search.
        queries: images to look up.
        num_rounds: as `rounds.interleave`.

    Returns:
        A list of dicts, one a contender; of faiss only if it is installed. A `ValueError`
        is raised if they do not find the same.
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
    for name, nearest in found.items():
        if not np.array_equal(nearest, found[OURS]):
            raise ValueError(f"{name} finds other neighbours than ours")
    products = 2 * database_images * queries * 8 * 8 * 3
    return [
        {
            "variant": name,
            "database_images": database_images,
            "queries": queries,
            "seconds": medians[name],
            "ours_relative": medians[OURS] / medians[name],
            "of_matrix_rate": products / medians[name] / rate,
        }
        for name in contenders
    ]


def streaming(database_images, queries):
    """The whole baseline from records on disk: reading, reducing to 8x8, searching.

    Args:
        database_images: 32x32 RGB images of noise to write, 3,088 bytes each, and read.
        queries: images to look up at once.

    Returns:
        A dict: images a second, seconds, and how much the process' peak memory grew.
    """
    per_file = 100_000
    with tempfile.TemporaryDirectory() as folder:
        for number, start in enumerate(range(0, database_images, per_file)):
            count = min(per_file, database_images - start)
            path = pathlib.Path(folder) / f"train-{number:05d}.tfrecord"
            records.write(path, _noise((count, 32, 32, 3), number))
        data = DataHparams(dataset=f"records:{folder}")
        before = _peak_gib()
        begin = time.perf_counter()
        baseline = NearestNeighbor(*pipeline.blocks(data, 3, 4, "train", BLOCK))
        baseline.predict(_noise((queries, 8, 8, 3), -1 % 2**32))
        spent = time.perf_counter() - begin
    return {
        "database_images": database_images,
        "queries": queries,
        "seconds": spent,
        "images_per_second": database_images / spent,
        "peak_growth_gib": _peak_gib() - before,
    }


def _peak_gib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
