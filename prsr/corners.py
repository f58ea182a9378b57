"""MNIST corners, from training to Figure 2.

python -m prsr.corners --flagfile=experiments/mnist_corners.flags
"""

import json

from absl import flags

from prsr.errors import UserError
from prsr.flags import (
    FLAGS,
    define_hparams,
    define_schedule,
    define_workdir,
    hparams_from_flags,
    run,
    schedule_from_flags,
)

define_workdir()
define_hparams()
define_schedule()
flags.DEFINE_integer("num_images", 1000, "Test digits to score.", 1)
flags.DEFINE_integer("classifier_epochs", 3, "Epochs of the network that reads digits.", 1)
flags.DEFINE_integer("batch_size", 50, "Samples that are drawn at once; changes no image.", 1)


def main():
    from prsr import distribution, training, workdirs
    from prsr.hparams import MODELS

    if FLAGS.pairs == "downsampled":
        raise UserError("--pairs must be corners or diagonal_corners here, not downsampled")
    if len(distribution.workers()) > 1:
        raise UserError("prsr.corners trains on one machine only; unset TF_CONFIG")
    strategy = distribution.open_strategy(FLAGS.num_replicas)
    _check_labels()
    runs = {kind: workdirs.Workdir(f"{FLAGS.workdir}/{kind}") for kind in MODELS}
    for kind, workdir in runs.items():
        FLAGS.model = kind
        saved = workdir.read_hparams() if workdir.settings.exists() else None
        hparams = hparams_from_flags(saved)
        print(f"{kind}: training in {workdir.path}")
        schedule = schedule_from_flags()
        stopped = training.run(workdir, hparams, schedule, FLAGS.eval_images, strategy)
        if stopped:
            print("saved; the same command continues")
            return 128 + stopped
    return report(runs, workdirs.Workdir(FLAGS.workdir).path)


def _check_labels():
    """Refuses images without classes before anything is trained on them."""
    from prsr.data import sources

    source = sources.open_source(FLAGS.dataset, FLAGS.split, FLAGS.channels)
    for split in ("train", "test"):
        source.labels(split)


def report(runs, output):
    """Trains the reader, draws, counts, and writes table and figure."""
    import numpy as np

    from prsr import digit_corners, evaluation, files, paper_figures, plotting, progress, samplers
    from prsr.data import pipeline

    workdir = runs["pixel_recursive"]
    hparams, model = workdir.load_model()
    data, channels, seed = hparams.data, hparams.model.channels, hparams.training.seed
    test_set = pipeline.load(data, channels, "test", with_labels=True)
    reader = _reader(hparams, test_set)
    test_set = test_set.first(FLAGS.num_images)
    digits, labels = test_set.images, test_set.labels
    low_res, high_res = pipeline.evaluation_arrays(test_set, data, hparams.model.scale)
    print(f"drawing {len(labels)} digits by each model")

    baselines = [str(runs[kind].path) for kind in ("regression", "cross_entropy")]
    methods = evaluation.baseline_methods(baselines, hparams, seed, FLAGS.batch_size)
    drawn = {method.title: method.predict(low_res) for method in methods}
    sampler = samplers.sampler(model)
    bar = progress.Progress("PixelCNN", len(labels))
    samples = samplers.draw_samples(sampler, low_res, 1, seed, FLAGS.tau, FLAGS.batch_size, bar)
    drawn["PixelCNN"] = samples[:, 0]
    _, pixel_independent = runs["cross_entropy"].load_model()
    nats = {
        "PixelCNN": samplers.nats(model, low_res, high_res, FLAGS.batch_size),
        "Cross-entropy, sample": samplers.nats(
            pixel_independent, low_res, high_res, FLAGS.batch_size
        ),
    }
    rows = [
        digit_corners.row(title, images, digits, labels, data.pairs, reader, nats.get(title))
        for title, images in {**drawn, "truth": high_res}.items()
    ]
    second = "upper right" if data.pairs == "corners" else "lower right"
    table = digit_corners.markdown(rows, high_res.shape[1:], second)
    first = np.array([np.argmax(labels == label) for label in np.unique(labels)])  # one of each
    few = samplers.draw_samples(sampler, low_res[first], 4, seed, FLAGS.tau, FLAGS.batch_size)
    shown = {title: images[first] for title, images in drawn.items() if title != "PixelCNN"}
    figure = paper_figures.corners(low_res[first], shown, few)
    try:
        with files.replacing(output / "corners.md") as partial:
            partial.write_text(table)
        with files.replacing(output / "corners.json") as partial:
            partial.write_text(json.dumps(rows, indent=2) + "\n")
        with files.replacing(output / "corners.npz") as partial, open(partial, "wb") as file:
            np.savez_compressed(file, labels=labels, input=low_res, truth=high_res, **drawn)
        plotting.save(plotting.sheet(*figure), output / "figure2.png")
        plotting.save_pdf(figure[0], figure[1], output / "figure2.pdf")
    except OSError as error:
        raise UserError(f"could not write to --workdir={output}: {error}") from error
    print(table)
    print(f"wrote corners.md, corners.json, corners.npz, figure2.png and figure2.pdf to {output}")
    return 0


def _reader(hparams, test_set):
    """A classifier of the digits, trained, and its accuracy on the test split printed."""
    import keras

    from prsr import digit_corners
    from prsr.data import pipeline

    keras.utils.set_random_seed(hparams.training.seed)
    train_set = pipeline.load(hparams.data, hparams.model.channels, "train", with_labels=True)
    reader = digit_corners.classifier(train_set.images.shape[1:], int(train_set.labels.max()) + 1)
    reader.fit(train_set.images, train_set.labels, 128, FLAGS.classifier_epochs, verbose=2)
    _, accuracy = reader.evaluate(test_set.images, test_set.labels, 256, verbose=0)
    print(f"the classifier reads {100 * accuracy:.2f}% of {len(test_set.names)} test digits")
    return reader


if __name__ == "__main__":
    run(main)
