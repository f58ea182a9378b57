"""Scores a model as in Table 1.

python -m prsr.evaluate --workdir=RUN --baselines=bicubic,nn,REGRESSION_RUN
"""

import sys

from absl import flags

from prsr.flags import (
    FLAGS,
    define_batch_size,
    define_dataset,
    define_path,
    define_paths,
    define_replicas,
    define_seed,
    define_trained,
    group,
    numbers,
    output_folder,
    run,
    trained,
    with_dataset,
)
from prsr.hparams import MATCH_INPUT, Sampling
from prsr.system import backend, progress
from prsr.system.errors import UserError

_FEW = 30  # test images


def define():
    define_trained()
    with group("Images"):
        define_dataset()
        flags.DEFINE_integer("num_images", 0, "Number of test images; 0: all", 0)
        define_path(
            "output", None, "Folder to write to; default RUN/evaluation, required with --model"
        )
    with group("Rows"):
        flags.DEFINE_list(
            "tau", ["1.0", "1.1", "1.2", "inf"], "Inverse temperatures, a row each; inf is greedy"
        )
        flags.DEFINE_list(
            "guidance", [], "Rows the paper does not have: TAU:GUIDANCE pairs such as 1.2:2,1.2:3"
        )
        flags.DEFINE_enum(
            "match_input",
            "off",
            MATCH_INPUT,
            "Match --guidance rows, and add matched baselines: off, end or rows",
        )
        define_paths(
            "baselines",
            ["bicubic", "nn"],
            "bicubic, nn (nearest neighbour), and run directories of trained baselines",
        )
        flags.DEFINE_enum(
            "paper",
            "auto",
            ["auto", "faces", "bedrooms", "none"],
            "The paper's numbers to show beside ours: auto, faces, bedrooms or none",
        )
        define_seed()
    with group("Speed"):
        define_batch_size()
        define_replicas()


def main():
    from prsr.data import pipeline
    from prsr.evaluation import methods, results, table1
    from prsr.sampling import samplers

    devices = backend.devices(FLAGS.num_replicas)
    workdir = trained()
    output = output_folder("evaluation")
    samplings = _samplings()
    hparams, model = workdir.load_model()
    hparams, _ = workdir.check_images(with_dataset(hparams))
    if hparams.data.pairs != "downsampled":
        raise UserError(
            f"--workdir={workdir.path} was trained with --pairs={hparams.data.pairs}, which is "
            f"not super-resolution; score it with python -m prsr.corners"
        )
    seed, batch_size = FLAGS.seed, FLAGS.batch_size
    for sampling in samplings:
        if not sampling.in_paper:
            samplers.check(sampling, hparams)
    pixel_independent = methods.baseline_methods(FLAGS.baselines, hparams, seed, batch_size)
    own = methods.run_methods(workdir, hparams, model, samplings, seed, batch_size, devices)
    chosen = pixel_independent + own
    if FLAGS.match_input != "off":
        if hparams.model.architecture != "pixel_recursive":
            pixel_independent += own
        chosen += [methods.matched(one, hparams.data.downsampling) for one in pixel_independent]
    paper = table1.paper_for(hparams) if FLAGS.paper == "auto" else FLAGS.paper
    names, *pairs = pipeline.test_pairs(hparams, FLAGS.num_images or None)
    if len(names) < _FEW:
        print(
            f"only {progress.counted(len(names), 'test image')}: expect large errors",
            file=sys.stderr,
        )
    evaluation = results.Evaluation(output, names, *pairs)
    report, scores = table1.evaluate(
        evaluation, chosen, model, hparams.data.downsampling, paper, batch_size
    )
    report = {"run": FLAGS.model or str(workdir.path), **report}
    print(table1.write(output, report, scores, names))
    print(f"wrote the table, every score and all images to {output}")


def _samplings():
    """The `prsr.hparams.Sampling` of each row: the paper's, then those of `--guidance`."""
    samplings = [Sampling(tau) for tau in numbers("tau")]
    for pair in FLAGS.guidance:
        try:
            tau, guidance = map(float, pair.split(":"))
        except ValueError as error:
            raise UserError(
                f"--guidance expects pairs TAU:GUIDANCE, separated by commas: '{pair}'"
            ) from error
        samplings.append(Sampling(tau, guidance, FLAGS.match_input))
        samplings[-1].check()
    return samplings


if __name__ == "__main__":
    run(main, define)
