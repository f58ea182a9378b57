"""Times samplers, training and nearest neighbour search.

python -m benchmarks --parts=sampling,training --output=benchmark
"""

import pathlib

from absl import flags

from prsr.flags import FLAGS, define_hparams, group, hparams_from_flags, run
from prsr.system.errors import UserError

PARTS = ("sampling", "cold", "growth", "training", "replicas", "pipeline", "nearest")
_QUICK = {
    "image_size": 8,
    "blocks_per_stage": 1,
    "conditioning_width": 4,
    "prior_width": 6,
    "prior_layers": 1,
    "prior_hidden": 6,
    "global_batch_size": 4,
}


def define():
    with group("Benchmark"):
        flags.DEFINE_list("parts", list(PARTS), "What to measure: any of these")
        flags.DEFINE_list("batches", ["1", "16", "64"], "Batch sizes of the samplers")
        flags.DEFINE_integer(
            "database_images", None, "Images to search for nearest neighbours: 300,000", 1
        )
        flags.DEFINE_integer("rounds", None, "Times to measure each, for the median: 5", 1)
        flags.DEFINE_string(
            "output", None, "Folder for benchmark.md, benchmark.json and benchmark.png"
        )
        flags.DEFINE_bool("quick", False, "A tiny model and one round, to see that it runs")
    define_hparams()


def main():
    given = {name: FLAGS[name].value for name in _QUICK if FLAGS[name].present}
    hparams = hparams_from_flags(**({**_QUICK, **given} if FLAGS.quick else {}))
    hparams.check()
    unknown = set(FLAGS.parts) - set(PARTS)
    if unknown or not FLAGS.parts:
        got = ",".join(FLAGS.parts)
        raise UserError(f"--parts: expected some of {', '.join(PARTS)}, not '{got}'")
    if not FLAGS.batches or not all(b.isdecimal() and int(b) for b in FLAGS.batches):
        got = ",".join(FLAGS.batches)
        raise UserError(f"--batches: expected numbers from 1, not '{got}'")
    from benchmarks import report, suite

    output = FLAGS.output and pathlib.Path(FLAGS.output)
    for results in suite.measure(
        hparams,
        FLAGS.parts,
        [int(batch) for batch in FLAGS.batches],
        FLAGS.database_images or (20_000 if FLAGS.quick else 300_000),
        FLAGS.rounds or (1 if FLAGS.quick else 5),
        FLAGS.quick,
    ):
        if output:  # after each part, as they take minutes
            report.write(results, output)
    print(report.markdown(results))


if __name__ == "__main__":
    run(main, define)
