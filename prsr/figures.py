"""Draws the paper's figures for a model.

python -m prsr.figures --workdir=RUN --figures=1,6 --baselines=bicubic,nn,REGRESSION_RUN
"""

from absl.flags import DEFINE_integer, DEFINE_list

from prsr import flags
from prsr.flags import FLAGS


def define():
    flags.define_trained()
    with flags.group("Figures"):
        DEFINE_list(
            "figures",
            None,
            "Any of 1, 2, 4, 5, 6, temperature, guidance, bits, appendix; default: all that fit",
        )
        flags.define_paths(
            "baselines",
            ["bicubic", "nn"],
            "For figures 2 and 6: bicubic, nn, and run directories of trained baselines",
        )
        DEFINE_integer(
            "num_images", 8, "Test images per figure; 3 times as many in 4, 10 times in appendix", 1
        )
        DEFINE_integer("num_samples", 6, "Samples per input in figures 2 and 5", 1)
        flags.define_dataset()
        flags.define_path(
            "output", None, "Folder to write to; default RUN/figures, required with --model"
        )
    flags.define_sampling(1.2)
    with flags.group("Sampling"):
        flags.define_seed()
        flags.define_batch_size()


def main():
    from prsr.data import pipeline
    from prsr.evaluation import methods, paper_figures

    workdir = flags.trained()
    output = flags.output_folder("figures")
    hparams, model = workdir.load_model()
    hparams.model.require_prior("draw the figures")
    hparams = flags.with_dataset(hparams)
    source, _ = workdir.open_images(hparams, FLAGS.all_images)
    chosen = paper_figures.chosen(FLAGS.figures, hparams.data.pairs)
    count = max(paper_figures.images_needed(name, FLAGS.num_images) for name in chosen)
    _, low_res, high_res = pipeline.test_pairs(source, hparams, count)
    seed, batch_size = FLAGS.seed, FLAGS.batch_size
    figures = paper_figures.PaperFigures(
        model=model,
        baselines=lambda: methods.baseline_methods(
            FLAGS.baselines, hparams, source, seed, batch_size
        ),
        low_res=low_res,
        high_res=high_res,
        num_images=FLAGS.num_images,
        num_samples=FLAGS.num_samples,
        sampling=flags.sampling_from_flags(hparams),
        downsampling=hparams.data.downsampling,
        seed=seed,
        batch_size=batch_size,
    )
    for name in chosen:
        print(f"{figures.save(name, output)}.png, .pdf")


if __name__ == "__main__":
    flags.run(main, define)
