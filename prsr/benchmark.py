"""Times samplers, train step, input pipeline and searches: python -m prsr.benchmark"""

import json
import pathlib

from absl import flags

from prsr import files
from prsr.errors import UserError
from prsr.flags import FLAGS, define_hparams, hparams_from_flags, run

PARTS = ("sampling", "growth", "training", "replicas", "pipeline", "nearest")

define_hparams()
flags.DEFINE_list("parts", list(PARTS), f"What to measure, any of {', '.join(PARTS)}.")
flags.DEFINE_list("batches", ["1", "16", "64"], "Batch sizes of the samplers.")
flags.DEFINE_integer("database_images", 300_000, "To find nearest neighbours in.", 1)
flags.DEFINE_integer("rounds", 5, "How often each contender is timed; medians count.", 1)
flags.DEFINE_string("output", None, "A folder for benchmark.md, benchmark.json, benchmark.png.")
flags.DEFINE_bool("quick", False, "A tiny model and one round: to see that it runs.")

_QUICK = {
    "image_size": 8,
    "blocks_per_stage": 1,
    "conditioning_width": 4,
    "prior_width": 6,
    "prior_layers": 1,
    "prior_hidden": 6,
    "global_batch_size": 4,
}


def main():
    if FLAGS.quick:
        for name, value in _QUICK.items():
            if not FLAGS[name].present:
                FLAGS[name].value = value
        FLAGS.rounds = 1
        if not FLAGS["database_images"].present:
            FLAGS.database_images = 20_000
    hparams = hparams_from_flags()
    hparams.check()
    unknown = set(FLAGS.parts) - set(PARTS)
    if unknown or not FLAGS.parts:
        got = ",".join(FLAGS.parts)
        raise UserError(f"--parts: expected some of {', '.join(PARTS)}, not '{got}'")
    if not FLAGS.batches or not all(b.isdecimal() and int(b) for b in FLAGS.batches):
        got = ",".join(FLAGS.batches)
        raise UserError(f"--batches: expected numbers from 1, not '{got}'")
    output = FLAGS.output and pathlib.Path(FLAGS.output)
    if output:
        output.mkdir(parents=True, exist_ok=True)
    from prsr.benchmarks import report

    for results in measure(hparams):
        if output:  # after each part: they take long
            with files.replacing(output / "benchmark.json") as partial:
                partial.write_text(json.dumps(results, indent=2) + "\n")
            with files.replacing(output / "benchmark.md") as partial:
                partial.write_text(report.markdown(results))
            report.plot(results, output / "benchmark.png")
    print(report.markdown(results))


def measure(hparams):
    """Runs the parts that were asked for, and yields all results so far after each."""
    import os
    import platform

    import tensorflow as tf

    from prsr.benchmarks import nearest, replicas, rounds, sampling, training

    rounds.share_gpus()
    size, scale, num_rounds = hparams.data.image_size, hparams.model.scale, FLAGS.rounds
    model = sampling.build(hparams)
    gpus = tf.config.list_physical_devices("GPU")
    results = {
        "device": f"{len(gpus)} GPUs" if gpus else f"CPU ({platform.machine()})",
        "cores": os.cpu_count(),
        "tensorflow": tf.__version__,
        "weights": model.count_params(),
        "image_size": size,
        "global_batch_size": hparams.training.global_batch_size,
    }
    if "sampling" in FLAGS.parts:
        batches = [int(batch) for batch in FLAGS.batches]
        results["sampling"] = sampling.compare(model, size, batches, num_rounds)
        results["agreement"] = sampling.agreement(model, size, max(batches))
        yield results
    if "growth" in FLAGS.parts:
        sizes, depths = [size // 4, size // 2, size, 2 * size], [5, 10, 20, 40]
        if FLAGS.quick:
            sizes, depths = [size, 2 * size], [1, 2]
        sizes = [one for one in sizes if one >= scale and one % scale == 0]
        results["growth"] = sampling.growth(hparams, sizes, depths, num_rounds)
        yield results
    if "training" in FLAGS.parts:
        results["training"] = training.compare(hparams, num_rounds)
        yield results
    if "replicas" in FLAGS.parts:
        results["replicas"] = replicas.compare(hparams, num_rounds)
        yield results
    if "pipeline" in FLAGS.parts:
        results["pipeline"] = training.pipeline(hparams, num_rounds)
        yield results
    if "nearest" in FLAGS.parts:
        results["nearest"] = nearest.compare(min(FLAGS.database_images, 300_000), 1000, num_rounds)
        results["streaming"] = nearest.streaming(FLAGS.database_images, 1000)
        yield results


if __name__ == "__main__":
    run(main)
