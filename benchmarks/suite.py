"""Runs every benchmark, one after the other."""

import platform

import tensorflow as tf

from benchmarks import cold, nearest, replicas, sampling, training
from prsr.system import host


def measure(hparams, parts, batches, database_images, num_rounds, quick):
    """Runs the given parts and, after each, yields all results so far.

    Args:
        hparams: `prsr.hparams.Hparams` of the model.
        parts: names of parts: sampling, cold, growth, training, replicas, pipeline, nearest.
        batches: list of batch sizes for the samplers.
        database_images: number of images to find nearest neighbours in.
        num_rounds: how many times each contender is timed.
        quick: whether growth is measured at two sizes only.

    Yields:
        A dict to write as JSON.
    """
    size, scale = hparams.data.image_size, hparams.model.scale
    model = sampling.build(hparams)
    gpus = tf.config.list_physical_devices("GPU")
    results = {
        "device": f"{len(gpus)} GPUs" if gpus else f"CPU ({platform.machine()})",
        "cores": host.cores(),
        "tensorflow": tf.__version__,
        "weights": model.count_params(),
        "image_size": size,
        "global_batch_size": hparams.training.global_batch_size,
    }
    if "sampling" in parts:
        results["sampling"] = sampling.compare(model, size, batches, num_rounds)
        results["agreement"] = sampling.agreement(model, size, max(batches))
        yield results
    if "cold" in parts:
        few = [batch for batch in batches if batch <= 16] or [min(batches)]
        results["cold"] = cold.compare(hparams, few, num_rounds)
        yield results
    if "growth" in parts:
        sizes = [size, 2 * size] if quick else [size // 4, size // 2, size, 2 * size]
        sizes = [one for one in sizes if one >= scale and one % scale == 0]
        depths = [1, 2] if quick else [5, 10, 20, 40]
        results["growth"] = sampling.growth(hparams, sizes, depths, num_rounds)
        yield results
    for part, measure_part in (
        ("training", training.compare),
        ("replicas", replicas.compare),
        ("pipeline", training.pipeline),
    ):
        if part in parts:
            results[part] = measure_part(hparams, num_rounds)
            yield results
    if "nearest" in parts:
        results["nearest"] = nearest.compare(min(database_images, 300_000), 1000, num_rounds)
        results["streaming"] = nearest.streaming(database_images, 1000)
        yield results
