"""Scores a run as in Table 1: python -m prsr.evaluate --workdir=RUN --baselines=bicubic,nn,RUN2"""

import json

from absl import flags

from prsr.errors import UserError
from prsr.flags import (
    FLAGS,
    define_dataset,
    define_trained,
    moved,
    numbers,
    output_folder,
    run,
    trained,
)

define_trained()
define_dataset()
flags.DEFINE_list(
    "tau", ["1.0", "1.1", "1.2", "inf"], "Each multiplies the logits; inf is greedy (footnote 1)."
)
flags.DEFINE_list(
    "baselines",
    ["bicubic", "nn"],
    "bicubic, nn (nearest neighbour among the training images), and run directories of models "
    "that were trained with --model=regression or --model=cross_entropy.",
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
flags.DEFINE_integer("seed", 1, "Of the samples.", 0)
flags.DEFINE_integer("batch_size", 16, "Samples that are drawn at once; changes no image.", 1)


def main():
    from prsr import evaluation, files, losses, metrics, samplers
    from prsr.data import pipeline

    workdir = trained()
    output = output_folder("evaluation")
    taus = numbers("tau")
    hparams, model = workdir.load_model()
    hparams = moved(hparams)
    if hparams.data.pairs != "downsampled":
        raise UserError(
            f"--workdir={workdir.path} was trained with --pairs={hparams.data.pairs}, which is "
            f"not super resolution; score it with python -m prsr.corners"
        )
    methods = evaluation.baseline_methods(FLAGS.baselines, hparams, FLAGS.seed, FLAGS.batch_size)
    methods += evaluation.run_methods(workdir, hparams, model, taus, FLAGS.seed, FLAGS.batch_size)
    paper = _paper(hparams)
    test_set = pipeline.load(hparams.data, hparams.model.channels, "test", FLAGS.num_images or None)
    pairs = pipeline.evaluation_arrays(test_set, hparams.data, hparams.model.scale)
    results = evaluation.Evaluation(output, test_set.names, *pairs)
    image_shape = results.high_res.shape[1:]
    has_likelihood = hasattr(model, "log_likelihood")
    results.check(methods)
    rows, scores = [], {}
    for method in methods:
        drawn = results.images(method)
        scores[method.key] = results.score(drawn, hparams.data.downsampling)
        nats = None
        if has_likelihood:
            nats = samplers.nats(model, results.low_res, drawn, FLAGS.batch_size)
            scores[method.key]["nats_per_image"] = nats
        rows.append(evaluation.row(method, scores[method.key], nats, image_shape, paper))
        if method.draw_samples:
            values = evaluation.diversity(method, results.low_res)
            rows[-1]["diversity"] = metrics.summary(values)
    report = {
        "run": FLAGS.model or str(workdir.path),
        "test_images": len(test_set.names),
        "rows": rows,
    }
    if has_likelihood:
        truth = samplers.scores(model, *pairs, FLAGS.batch_size)
        report["truth"] = {
            key: {
                "nats_per_image": metrics.summary(nats),
                "bits_per_dim": metrics.summary(losses.bits_per_dim(nats, image_shape)),
            }
            for key, nats in truth.items()
        }
    table = evaluation.markdown(report)
    texts = {
        "table1.md": table,
        "table1.csv": evaluation.to_csv(report),
        "table1.json": json.dumps(report, indent=2, allow_nan=False) + "\n",
        "scores.csv": evaluation.scores_csv(test_set.names, scores),
    }
    try:
        for name, text in texts.items():
            with files.replacing(output / name) as partial:
                partial.write_text(text)
    except OSError as error:
        raise UserError(f"could not write to '{output}': {error}") from error
    print(table)
    print(f"wrote the table, every score and all images to {output}")


def _paper(hparams):
    if FLAGS.paper == "auto":
        model, data = hparams.model, hparams.data
        same = (data.image_size, model.scale, model.channels) == (32, 4, 3)
        return "faces" if data.crop == "celeba" and same else None
    return None if FLAGS.paper == "none" else FLAGS.paper


if __name__ == "__main__":
    run(main)
