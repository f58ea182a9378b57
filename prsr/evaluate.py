"""Scores a run as in Table 1: python -m prsr.evaluate --workdir=RUN --baselines=bicubic,nn,RUN2"""

from absl import flags

from prsr import backend
from prsr.errors import UserError
from prsr.flags import (
    FLAGS,
    define_batch_size,
    define_dataset,
    define_replicas,
    define_seed,
    define_trained,
    moved,
    numbers,
    output_folder,
    run,
    trained,
)
from prsr.hparams import MATCH_INPUT, Sampling


def define():
    define_trained()
    define_dataset()
    flags.DEFINE_list(
        "tau",
        ["1.0", "1.1", "1.2", "inf"],
        "Each multiplies the logits; inf is greedy (footnote 1).",
    )
    flags.DEFINE_list(
        "guidance",
        [],
        "Rows that the paper does not have: TAU:GUIDANCE of each, as in 1.2:2,1.2:3. Logits are "
        "tau (B + (1 + guidance) A).",
    )
    flags.DEFINE_enum(
        "match_input",
        "off",
        MATCH_INPUT,
        "For the rows of --guidance, as in sample. Baselines get matched rows, too.",
    )
    flags.DEFINE_list(
        "baselines",
        ["bicubic", "nn"],
        "bicubic, nn (nearest neighbour among the training images), and run directories of models "
        "that were trained with --architecture=regression or cross_entropy.",
    )
    flags.DEFINE_integer("num_images", 0, "Only so many images of the test split; 0: all.", 0)
    flags.DEFINE_enum(
        "paper", "auto", ["auto", "faces", "bedrooms", "none"], "Whose numbers to put beside ours."
    )
    flags.DEFINE_string(
        "output",
        None,
        "Where to write; --workdir's evaluation/ if left out. With --model it must be given.",
    )
    define_seed()
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
    hparams, _ = workdir.check_images(moved(hparams))
    if hparams.data.pairs != "downsampled":
        raise UserError(
            f"--workdir={workdir.path} was trained with --pairs={hparams.data.pairs}, which is "
            f"not super resolution; score it with python -m prsr.corners"
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
