"""Draws the paper's figures for a run: python -m prsr.figures --workdir=RUN"""

import math

from absl import flags

from prsr.errors import UserError
from prsr.flags import (
    FLAGS,
    define_dataset,
    define_tau,
    define_trained,
    moved,
    output_folder,
    run,
    trained,
)

FIGURES = ("1", "2", "4", "5", "6", "temperature", "appendix")

define_trained()
define_dataset()
define_tau(1.2)  # for all figures but 2, 6 and temperature
flags.DEFINE_list(
    "figures",
    None,
    "Any of 1 (input, sample, truth), 2 (MNIST corners), 4 (the same as 1, more of them), 5 "
    "(diversity), 6 (every method with its negative log-likelihood), temperature, appendix "
    "(many samples). Left out: 2 for a run of corners, the others for one of super resolution.",
)
flags.DEFINE_list(
    "baselines",
    ["bicubic", "nn"],
    "For figures 2 and 6: bicubic, nn, and run directories of trained baselines.",
)
flags.DEFINE_integer("num_images", 8, "Test images a figure; 4 has three, appendix ten times.", 1)
flags.DEFINE_integer("num_samples", 6, "Samples of an input in figures 2 and 5.", 1)
flags.DEFINE_string(
    "output",
    None,
    "Where to write; --workdir's figures/ if left out. With --model it must be given.",
)
flags.DEFINE_integer("seed", 1, "Of the samples.", 0)
flags.DEFINE_integer("batch_size", 16, "Samples that are drawn at once; changes no image.", 1)


def main():
    from prsr import evaluation, paper_figures, plotting, samplers
    from prsr import progress as progress_bars
    from prsr.data import pipeline

    workdir = trained()
    output = output_folder("figures")
    hparams, model = workdir.load_model()
    if hparams.model.model != "pixel_recursive":
        raise UserError(
            f"--workdir={workdir.path} is a baseline ({hparams.model.model}); give the run of a "
            f"pixel_recursive model, and the baseline in --baselines"
        )
    hparams = moved(hparams)
    chosen = _chosen(hparams)
    most = FLAGS.num_images * max({"appendix": 10, "4": 3}.get(name, 1) for name in chosen)
    test_set = pipeline.load(hparams.data, hparams.model.channels, "test", most)
    all_low, all_high = pipeline.evaluation_arrays(test_set, hparams.data, hparams.model.scale)
    low_res, high_res = all_low[: FLAGS.num_images], all_high[: FLAGS.num_images]
    sampler = samplers.sampler(model)

    def draw(low_res, num_samples=1, tau=FLAGS.tau):
        bar = progress_bars.Progress("drawing samples", len(low_res) * num_samples)
        return samplers.draw_samples(
            sampler, low_res, num_samples, FLAGS.seed, tau, FLAGS.batch_size, bar
        )

    def by_title(methods):
        return {method.title: method.predict(low_res) for method in methods}

    def baselines():
        return evaluation.baseline_methods(FLAGS.baselines, hparams, FLAGS.seed, FLAGS.batch_size)

    def at(taus):
        return {evaluation.title(tau): draw(low_res, tau=tau)[:, 0] for tau in taus}

    def methods():
        return paper_figures.by_method(
            low_res,
            by_title(baselines()) | at((1.0, 1.1, 1.2, math.inf)),
            high_res,
            lambda low, high: samplers.nats(model, low, high, FLAGS.batch_size),
        )

    def many(times, groups):
        count = times * FLAGS.num_images
        samples = draw(all_low[:count])[:, 0]
        return paper_figures.side_by_side(all_low[:count], samples, all_high[:count], groups)

    figures = {
        "1": lambda: many(1, 1),
        "2": lambda: paper_figures.corners(
            low_res, by_title(baselines()), draw(low_res, FLAGS.num_samples, tau=1.0)
        ),
        "4": lambda: many(3, 4),
        "5": lambda: paper_figures.diversity(low_res, draw(low_res, FLAGS.num_samples)),
        "6": methods,
        "temperature": lambda: paper_figures.temperatures(
            low_res, at((1.0, 1.1, 1.2, 1.3, math.inf)), high_res
        ),
        "appendix": lambda: many(10, 5),
    }
    for name in chosen:
        rows, captions, notes = figures[name]()
        stem = f"figure{name}" if name.isdecimal() else name
        try:
            plotting.save(plotting.sheet(rows, captions, notes), output / f"{stem}.png")
            plotting.save_pdf(rows, captions, output / f"{stem}.pdf", notes)
        except OSError as error:
            raise UserError(f"could not write to '{output}': {error}") from error
        print(f"{output / stem}.png, .pdf")


def _chosen(hparams):
    corners = hparams.data.pairs != "downsampled"
    possible = ["2"] if corners else [name for name in FIGURES if name != "2"]
    for name in FLAGS.figures or []:
        if name not in FIGURES:
            raise UserError(f"--figures expects any of {', '.join(FIGURES)}, and got '{name}'")
        if name not in possible:
            raise UserError(
                f"--figures={name} is not for a run with --pairs={hparams.data.pairs}; it can "
                f"have {', '.join(possible)}"
            )
    return FLAGS.figures or possible


if __name__ == "__main__":
    run(main)
