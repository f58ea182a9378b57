"""Judges MNIST corners (section 3.2): is there exactly one digit, where, and which one?

Canvases are models' images, `[count, size, size, channels]` uint8; digits are those that they
should show, `[count, size / 2, size / 2, channels]` uint8.
"""

import json

import keras
import numpy as np

from prsr import images, plotting
from prsr.data import image_sets, pipeline
from prsr.evaluation import methods, paper_figures, tables
from prsr.hparams import Sampling
from prsr.models import likelihood, losses
from prsr.sampling import samplers
from prsr.system import files, progress

PRESENT = 0.5  # a corner with at least this share of the digit's ink contains the digit
EMPTY = 0.1  # an area with at most this share is empty


def _both_corners(canvases):
    """Returns the upper left and right corners, `[count, size / 2, size / 2, channels]` each."""
    half = canvases.shape[1] // 2
    return canvases[:, :half, :half], canvases[:, :half, half:]


def count(canvases, digits):
    """Counts digits by their ink, the sum of intensities.

    Returns:
        A dict of `[count]` bool arrays: `"exactly_one"`: one corner has at least half of the
        digit's ink, and the rest of the canvas at most a tenth of it; `"both"`: both corners have
        at least half of it; `"second_corner"`: the upper right one has more ink.
    """
    ink = _digit_ink(digits)
    first, second = (_digit_ink(corner) / ink for corner in _both_corners(canvases))
    total, fuller = _digit_ink(canvases) / ink, np.maximum(first, second)
    return {
        "exactly_one": (fuller >= PRESENT) & (total - fuller <= EMPTY),
        "both": np.minimum(first, second) >= PRESENT,
        "second_corner": second > first,
    }


def _digit_ink(pictures):
    return pictures.astype(np.float64).sum(axis=(1, 2, 3))


def read(classifier, canvases):
    """Classifies the corner with more ink of each canvas: `[count]` ints."""
    first, second = _both_corners(canvases)
    fuller = np.where((_digit_ink(second) > _digit_ink(first))[:, None, None, None], second, first)
    return classifier.predict(fuller, batch_size=256, verbose=0).argmax(axis=1)


def row(title, canvases, digits, labels, classifier, nats=None):
    """Returns a model's row of the report: shares with standard errors, and nats per image.

    `classifier` is a Keras model from digits to logits of classes, `labels` are `[count]` ints, and
    `nats`, if given, `[count]` nats per image of the originals.
    """
    hits = count(canvases, digits)
    hits["second_corner"] = hits["second_corner"][hits["exactly_one"]]
    hits["read_right"] = read(classifier, canvases) == labels
    result = {"title": title, "images": len(canvases)}
    result |= {name: tables.summary(values) for name, values in hits.items() if len(values)}
    if nats is not None:
        result["nats_per_image"] = tables.summary(nats)
    return result


def markdown(rows, image_shape):
    """Formats what `row` returned as Markdown; `image_shape` is `(height, width, channels)`."""
    shares = {
        "exactly_one": "exactly one digit",
        "both": "in both corners",
        "second_corner": "of one: upper right",
        "read_right": "read right",
    }
    lines = []
    for entry in rows:
        found = [tables.plus_minus(entry.get(name), 1, times=100) for name in shares]
        nats = entry.get("nats_per_image")
        bits = f"{losses.bits_per_dim(nats['mean'], image_shape):.4f}" if nats else ""
        percent = [share and f"{share}%" for share in found]
        lines.append([entry["title"], *percent, tables.plus_minus(nats, 2), bits])
    return tables.to_markdown(["model", *shares.values(), "nats per image", "bits/dim"], lines)


def report(runs, source, folder, num_images, tau, classifier_epochs, batch_size):
    """Trains a classifier, draws digits with every model, and writes the table and Figure 2.

    Args:
        runs: dict from each of `prsr.hparams.ARCHITECTURES` to its trained `Workdir`.
        source: the opened data set, as `prsr.data.sources.open_source` returns it.
        folder: `pathlib.Path` of the output folder.
        num_images: number of test digits to draw.
        tau: multiplies the PixelCNN's logits.
        classifier_epochs: training epochs of the classifier.
        batch_size: samples per batch; does not affect the images.

    Returns:
        The table in Markdown.

    Raises:
        UserError: a run has no weights, or `folder` is not writable.
    """
    hparams, model = runs["pixel_recursive"].load_model()
    seed = hparams.training.seed
    test_set = image_sets.load(source, hparams.data, "test", with_labels=True)
    classifier = _digit_classifier(hparams, source, test_set, classifier_epochs)
    test_set = test_set.first(num_images)
    digits, labels = test_set.images, test_set.labels
    low_res, high_res = pipeline.evaluation_arrays(test_set, hparams.data, hparams.model.scale)
    print(f"drawing {len(labels)} digits with each model")

    sampler = samplers.Sampler(model)

    def draw(low_res, num_samples):
        bar = progress.Progress("PixelCNN", len(low_res) * num_samples)
        return samplers.draw_samples(
            sampler, low_res, num_samples, seed, Sampling(tau), batch_size, bar
        )

    baselines = [str(runs[kind].path) for kind in ("regression", "cross_entropy")]
    drawn = {
        method.title: method.predict(low_res)
        for method in methods.baseline_methods(baselines, hparams, source, seed, batch_size)
    }
    first = np.array([np.argmax(labels == label) for label in np.unique(labels)])  # one of each
    shown = {title: pictures[first] for title, pictures in drawn.items()}
    cells, captions, _ = paper_figures.corners(low_res[first], shown, draw(low_res[first], 4))
    drawn |= {"PixelCNN": draw(low_res, 1)[:, 0], "original": high_res}
    _, pixel_independent = runs["cross_entropy"].load_model()
    nats = {
        title: likelihood.nats(likelihood.Repeated(one), low_res, high_res, batch_size)
        for title, one in (("PixelCNN", model), ("Cross-entropy, sample", pixel_independent))
    }
    rows = [
        row(title, canvases, digits, labels, classifier, nats.get(title))
        for title, canvases in drawn.items()
    ]
    table = markdown(rows, high_res.shape[1:])
    with files.disk_errors(folder):
        texts = {"corners.md": table, "corners.json": json.dumps(rows, indent=2) + "\n"}
        for name, text in texts.items():
            files.write_text(folder / name, text)
        with files.replacing(folder / "corners.npz") as partial, open(partial, "wb") as file:
            np.savez_compressed(file, labels=labels, input=low_res, **drawn)
        images.save(plotting.sheet(cells, captions), folder / "figure2.png")
        plotting.save_pdf(cells, captions, folder / "figure2.pdf")
    return table


def _digit_classifier(hparams, source, test_set, epochs):
    """Trains a network that classifies digits, and prints its accuracy on the test split."""
    keras.utils.set_random_seed(hparams.training.seed)
    train_set = image_sets.load(source, hparams.data, "train", with_labels=True)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input(train_set.images.shape[1:]),
            layers.Rescaling(1 / 255, offset=-0.5),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPool2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPool2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(128, activation="relu"),
            layers.Dense(int(train_set.labels.max()) + 1),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(train_set.images, train_set.labels, 128, epochs, verbose=2)
    _, accuracy = model.evaluate(test_set.images, test_set.labels, 256, verbose=0)
    print(f"the classifier reads {100 * accuracy:.2f}% of {len(test_set)} test digits")
    return model
