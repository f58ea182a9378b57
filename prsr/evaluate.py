"""Evaluates a model as in Table 1.

python -m prsr.evaluate --workdir=RUN --baselines=bicubic,nn,REGRESSION_RUN
"""

from absl.flags import DEFINE_bool, DEFINE_enum, DEFINE_integer, DEFINE_list

from prsr import flags
from prsr.flags import FLAGS
from prsr.hparams import Sampling
from prsr.system import backend
from prsr.system.errors import UserError


def define():
    flags.define_trained()
    with flags.group("Images"):
        flags.define_dataset()
        DEFINE_integer("num_images", 0, "Number of test images; 0: all", 0)
        flags.define_path(
            "people", None, "Lines NAME PERSON, as identity_CelebA.txt: errors then count people"
        )
        flags.define_path(
            "output", None, "Folder to write to; default RUN/evaluation, required with --model"
        )
    with flags.group("Rows"):
        DEFINE_list(
            "tau", ["1.0", "1.1", "1.2", "inf"], "Inverse temperatures, a row each; inf is greedy"
        )
        DEFINE_list(
            "samplings", [], "Rows the paper does not have: TAU[:GUIDANCE], such as 1.2:2,1.2:3"
        )
        DEFINE_bool(
            "match_input", False, "Match the rows of --samplings, and add matched baselines"
        )
        flags.define_paths(
            "baselines",
            ["bicubic", "nn"],
            "bicubic, nn (nearest neighbour), and run directories of trained baselines",
        )
        DEFINE_enum(
            "paper",
            "auto",
            ["auto", "faces", "bedrooms", "none"],
            "The paper's numbers to show beside ours: auto, faces, bedrooms or none",
        )
        flags.define_seed()
    with flags.group("Speed"):
        flags.define_batch_size()
        flags.define_replicas()


def main():
    from prsr.data import pipeline
    from prsr.evaluation import methods, results, table1
    from prsr.sampling import samplers

    devices = backend.devices(FLAGS.num_replicas)
    workdir = flags.trained()
    output = flags.output_folder("evaluation")
    samplings = _samplings()
    hparams, model = workdir.load_model()
    hparams = flags.with_dataset(hparams)
    if hparams.data.pairs != "downsampled":
        raise UserError(
            f"--workdir={workdir.path} was trained with --pairs={hparams.data.pairs}, which is "
            f"not super-resolution; evaluate it with python -m prsr.corners"
        )
    for sampling in samplings:
        samplers.check(sampling, hparams)
    source, _ = workdir.open_images(hparams, FLAGS.all_images)
    seed, batch_size, downsampling = FLAGS.seed, FLAGS.batch_size, hparams.data.downsampling
    baselines = methods.baseline_methods(FLAGS.baselines, hparams, source, seed, batch_size)
    rows = methods.run_methods(workdir, hparams, model, samplings, seed, batch_size, devices)
    if FLAGS.match_input:
        is_baseline = hparams.model.architecture != "pixel_recursive"
        unmatched = baselines + (rows if is_baseline else [])
        rows = rows + [methods.matched(method, downsampling) for method in unmatched]
    names, low_res, high_res = pipeline.test_pairs(source, hparams, FLAGS.num_images or None)
    people, independent = None, "images"
    if FLAGS.people:
        people, independent = results.read_people(FLAGS.people, names)
    evaluation = results.Evaluation(output, names, low_res, high_res)
    paper = FLAGS.paper if FLAGS.paper != "auto" else FLAGS.model or table1.paper_for(hparams)
    report, measured = table1.evaluate(
        evaluation, baselines + rows, model, downsampling, paper, batch_size, people
    )
    about = {"run": FLAGS.model or str(workdir.path), "history": workdir.read_history()}
    report = {**about, "independent": independent, **report}
    print(table1.write(output, report, measured, names))
    print(f"wrote the table, every image and its metrics to {output}")


def _samplings():
    """The `prsr.hparams.Sampling` of each row: the paper's, then those of `--samplings`."""
    samplings = [Sampling(tau) for tau in flags.numbers("tau")]
    for text in FLAGS.samplings:
        tau, _, guidance = text.partition(":")
        try:
            samplings.append(Sampling(float(tau), float(guidance or 0), FLAGS.match_input))
        except ValueError as error:
            raise UserError(
                f"--samplings expects TAU or TAU:GUIDANCE, separated by commas: '{text}'"
            ) from error
    return samplings


if __name__ == "__main__":
    flags.run(main, define)
