"""Draws the paper's figures for a run: python -m prsr.figures --workdir=RUN"""

from absl import flags

from prsr.errors import UserError
from prsr.flags import (
    FLAGS,
    define_batch_size,
    define_dataset,
    define_sampling,
    define_seed,
    define_trained,
    moved,
    output_folder,
    run,
    sampling_from_flags,
    trained,
)


def define():
    define_trained()
    define_dataset()
    define_sampling(1.2)
    flags.DEFINE_list(
        "figures",
        None,
        "Any of 1 (input, sample, truth), 2 (MNIST corners), 4 (the same as 1, more of them), 5 "
        "(diversity), 6 (every method with its negative log-likelihood), temperature, guidance (by "
        "tau), bits (what each pixel costs under A, B and A + B), appendix (many samples). Left "
        "out: 2 for a run of corners, the others for one of super resolution.",
    )
    flags.DEFINE_list(
        "baselines",
        ["bicubic", "nn"],
        "For figures 2 and 6: bicubic, nn, and run directories of trained baselines.",
    )
    flags.DEFINE_integer(
        "num_images", 8, "Test images a figure; 4 has three, appendix ten times.", 1
    )
    flags.DEFINE_integer("num_samples", 6, "Samples of an input in figures 2 and 5.", 1)
    flags.DEFINE_string(
        "output",
        None,
        "Where to write; --workdir's figures/ if left out. With --model it must be given.",
    )
    define_seed()
    define_batch_size()


def main():
    from prsr.data import pipeline
    from prsr.evaluation import methods, paper_figures

    workdir = trained()
    output = output_folder("figures")
    hparams, model = workdir.load_model()
    if hparams.model.architecture != "pixel_recursive":
        raise UserError(
            f"--workdir={workdir.path} is a baseline ({hparams.model.architecture}); give the run "
            f"of a pixel_recursive model, and the baseline in --baselines"
        )
    hparams, _ = workdir.check_images(moved(hparams))
    chosen = paper_figures.chosen(FLAGS.figures, hparams.data.pairs)
    count = max(paper_figures.images_needed(name, FLAGS.num_images) for name in chosen)
    _, low_res, high_res = pipeline.test_pairs(hparams, count)
    figures = paper_figures.PaperFigures(
        model,
        lambda: methods.baseline_methods(FLAGS.baselines, hparams, FLAGS.seed, FLAGS.batch_size),
        low_res,
        high_res,
        num_images=FLAGS.num_images,
        num_samples=FLAGS.num_samples,
        sampling=sampling_from_flags(hparams),
        downsampling=hparams.data.downsampling,
        seed=FLAGS.seed,
        batch_size=FLAGS.batch_size,
    )
    for name in chosen:
        print(f"{figures.save(name, output)}.png, .pdf")


if __name__ == "__main__":
    run(main, define)
