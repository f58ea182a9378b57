"""Scores MNIST corners (section 3.2): is there exactly one digit, where, and which one?"""

import dataclasses
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


@dataclasses.dataclass(frozen=True)
class Counts:
    """Where digits are on some canvases, as `[count]` bool arrays.

    Attributes:
        one: there is exactly one digit: one corner has at least half of the given digit's ink, and
            the rest of the canvas at most a tenth of it.
        both: both corners have at least half of that ink.
        second: the second corner has more ink than the first.
    """

    one: np.ndarray
    both: np.ndarray
    second: np.ndarray


def corners_of(canvases, pairs):
    """Returns the two corners in which a digit may be.

    Args:
        canvases: `[count, size, size, channels]` array.
        pairs: `"corners"` or `"diagonal_corners"`.

    Returns:
        `[2, count, size / 2, size / 2, channels]`: the first and the second.
    """
    half = canvases.shape[1] // 2
    top = 0 if pairs == "corners" else half
    return np.stack([canvases[:, :half, :half], canvases[:, top : top + half, half:]])


def count(canvases, digits, pairs):
    """Counts digits by their ink, the sum of intensities.

    Args:
        canvases: `[count, size, size, channels]` uint8, a model's images.
        digits: `[count, size / 2, size / 2, channels]` uint8, the digits it should have placed.
        pairs: `"corners"` or `"diagonal_corners"`.

    Returns:
        `Counts`.
    """
    own = _ink(digits)
    first, second = (_ink(corner) / own for corner in corners_of(canvases, pairs))
    total = _ink(canvases) / own
    fuller = np.maximum(first, second)
    return Counts(
        one=(fuller >= PRESENT) & (total - fuller <= EMPTY),
        both=np.minimum(first, second) >= PRESENT,
        second=second > first,
    )


def _ink(pictures):
    return pictures.astype(np.float64).sum(axis=(1, 2, 3))


def classifier(shape, num_classes):
    """Builds a small convolutional network that classifies a digit.

    Args:
        shape: `(height, width, channels)` of a digit.
        num_classes: number of classes.

    Returns:
        A compiled `keras.Model` on `[batch, *shape]` in 0..255.
    """
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input(shape),
            layers.Rescaling(1 / 255, offset=-0.5),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPool2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPool2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(128, activation="relu"),
            layers.Dense(num_classes),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def read(reader, canvases, pairs):
    """Classifies the corner with more ink of each canvas.

    Args:
        reader: a trained `classifier`.
        canvases: `[count, size, size, channels]` uint8.
        pairs: `"corners"` or `"diagonal_corners"`.

    Returns:
        `[count]` int array of classes.
    """
    first, second = corners_of(canvases, pairs)
    fuller = np.where((_ink(second) > _ink(first))[:, None, None, None], second, first)
    return reader.predict(fuller, batch_size=256, verbose=0).argmax(axis=1)


def row(title, canvases, digits, labels, pairs, reader, nats=None):
    """Computes a model's row of the report.

    Args:
        title: the model's name.
        canvases: `[count, size, size, channels]` uint8, one for each digit.
        digits: `[count, size / 2, size / 2, channels]` uint8.
        labels: `[count]` ints.
        pairs: `"corners"` or `"diagonal_corners"`.
        reader: a trained `classifier`.
        nats: `[count]` nats per image of the truth, or None.

    Returns:
        A dict: shares with their standard errors, and nats per image.
    """
    counts = count(canvases, digits, pairs)
    result = {"title": title, "images": len(canvases)}
    shares = {
        "exactly_one": counts.one,
        "both": counts.both,
        "second_corner": counts.second[counts.one],  # of those with exactly one
        "read_right": read(reader, canvases, pairs) == labels,
    }
    for name, hits in shares.items():
        if len(hits):
            result[name] = tables.summary(hits)
    if nats is not None:
        result["nats_per_image"] = tables.summary(nats)
    return result


def markdown(rows, image_shape, second="upper right"):
    """Formats the report as Markdown.

    Args:
        rows: list of rows, as `row` returns them.
        image_shape: `(height, width, channels)`.
        second: name of the second corner.

    Returns:
        A str.
    """
    head = ["model", "exactly one digit", "in both corners", f"of one: {second}", "read right"]
    lines = []
    for entry in rows:
        cells = [entry["title"]]
        for name in ("exactly_one", "both", "second_corner", "read_right"):
            cells.append(
                tables.plus_minus(entry[name], 1, times=100) + "%" if name in entry else ""
            )
        nats = entry.get("nats_per_image")
        cells.append(tables.plus_minus(nats, 2) if nats else "")
        bits = nats and losses.bits_per_dim(nats["mean"], image_shape)
        cells.append(f"{bits:.4f}" if nats else "")
        lines.append(cells)
    return tables.to_markdown([*head, "nats an image", "bits/dim"], lines)


def report(runs, folder, num_images, tau, classifier_epochs, batch_size):
    """Trains the classifier, draws digits with every model, and writes the table and Figure 2.

    Args:
        runs: dict from each of `prsr.hparams.ARCHITECTURES` to its trained `Workdir`.
        folder: `pathlib.Path` of the output folder for `corners.md`, `.json` and `.npz`, and
            `figure2.png` and `.pdf`.
        num_images: number of test digits to score.
        tau: multiplies the PixelCNN's logits.
        classifier_epochs: training epochs of the classifier.
        batch_size: samples per batch; does not affect the images.

    Returns:
        The table in Markdown.

    Raises:
        UserError: a run has no weights, or `folder` is not writable.
    """
    hparams, model = runs["pixel_recursive"].load_model()
    data, seed = hparams.data, hparams.training.seed
    test_set = image_sets.load(data, hparams.model.channels, "test", with_labels=True)
    reader = _trained_classifier(hparams, test_set, classifier_epochs)
    test_set = test_set.first(num_images)
    digits, labels = test_set.images, test_set.labels
    low_res, high_res = pipeline.evaluation_arrays(test_set, data, hparams.model.scale)
    print(f"drawing {len(labels)} digits with each model")

    baselines = [str(runs[kind].path) for kind in ("regression", "cross_entropy")]
    drawn = {
        method.title: method.predict(low_res)
        for method in methods.baseline_methods(baselines, hparams, seed, batch_size)
    }
    first = np.array([np.argmax(labels == label) for label in np.unique(labels)])  # one of each
    shown = {title: images[first] for title, images in drawn.items()}
    sampler = samplers.sampler(model)

    def draw(low_res, num_samples):
        bar = progress.Progress("PixelCNN", len(low_res) * num_samples)
        return samplers.draw_samples(
            sampler, low_res, num_samples, seed, Sampling(tau), batch_size, bar
        )

    drawn["PixelCNN"] = draw(low_res, 1)[:, 0]
    figure = paper_figures.corners(low_res[first], shown, draw(low_res[first], 4))
    _, pixel_independent = runs["cross_entropy"].load_model()
    nats = {
        title: likelihood.nats(likelihood.Repeated(own), low_res, high_res, batch_size)
        for title, own in (("PixelCNN", model), ("Cross-entropy, sample", pixel_independent))
    }
    rows = [
        row(title, images, digits, labels, data.pairs, reader, nats.get(title))
        for title, images in {**drawn, "truth": high_res}.items()
    ]
    second = "upper right" if data.pairs == "corners" else "lower right"
    table = markdown(rows, high_res.shape[1:], second)
    with files.disk_errors(folder):
        with files.replacing(folder / "corners.md") as partial:
            partial.write_text(table)
        with files.replacing(folder / "corners.json") as partial:
            partial.write_text(json.dumps(rows, indent=2) + "\n")
        with files.replacing(folder / "corners.npz") as partial, open(partial, "wb") as file:
            np.savez_compressed(file, labels=labels, input=low_res, truth=high_res, **drawn)
        images.save(plotting.sheet(*figure), folder / "figure2.png")
        plotting.save_pdf(figure[0], figure[1], folder / "figure2.pdf")
    return table


def _trained_classifier(hparams, test_set, epochs):
    """Trains a digit classifier, and prints its accuracy on the test split."""
    keras.utils.set_random_seed(hparams.training.seed)
    train_set = image_sets.load(hparams.data, hparams.model.channels, "train", with_labels=True)
    reader = classifier(train_set.images.shape[1:], int(train_set.labels.max()) + 1)
    reader.fit(train_set.images, train_set.labels, 128, epochs, verbose=2)
    _, accuracy = reader.evaluate(test_set.images, test_set.labels, 256, verbose=0)
    print(f"the classifier reads {100 * accuracy:.2f}% of {len(test_set.names)} test digits")
    return reader
