"""The paper's figures, from a run: what is drawn for each, and which pictures stand where.

Each layout is a function that returns `(rows, captions, notes)` for `prsr.plotting.sheet`.
"""

import dataclasses
import math

import numpy as np

from prsr import files, plotting, progress
from prsr.errors import UserError
from prsr.models import inspection, likelihood, losses
from prsr.sampling import samplers

FIGURES = ("1", "2", "4", "5", "6", "temperature", "bits", "appendix")


def chosen(names, pairs):
    """The figures that a run can have, or those of them that were asked for.

    Args:
        names: some of `FIGURES`, or None for all that fit.
        pairs: one of `prsr.hparams.PAIRS`: MNIST corners have figure 2, and no other.

    Raises:
        UserError: a name is no figure, or none of such a run.
    """
    possible = [name for name in FIGURES if (name == "2") == (pairs != "downsampled")]
    for name in names or []:
        if name not in FIGURES:
            raise UserError(f"expected figures among {', '.join(FIGURES)}, and got '{name}'")
        if name not in possible:
            raise UserError(
                f"a run with pairs={pairs} has no figure {name}; it can have {', '.join(possible)}"
            )
    return names or possible


def images_needed(name, num_images):
    """How many test images a figure shows, where others show `num_images`."""
    return {"4": 3, "appendix": 10}.get(name, 1) * num_images


class PaperFigures:
    """The figures of a model on some test images.

    Args:
        model: a built `PixelRecursiveSuperResolution`.
        baselines: list of `prsr.evaluation.methods.Method`, for figures 2 and 6.
        low_res: `[count, low size, low size, channels]` uint8, as many as `images_needed`.
        high_res: `[count, size, size, channels]` uint8, the truth.
        num_images: test images a figure.
        num_samples: samples of an input in figures 2 and 5.
        sampling: `prsr.hparams.Sampling`; tau is for all figures but 2, 6 and temperature.
        downsampling: how inputs are made, one of `prsr.hparams.DOWNSAMPLING`.
        seed: of the samples.
        batch_size: samples drawn at once; changes no image.
    """

    def __init__(
        self,
        model,
        baselines,
        low_res,
        high_res,
        *,
        num_images,
        num_samples,
        sampling,
        downsampling,
        seed,
        batch_size,
    ):
        self.model, self.baselines = model, baselines
        self.all_low_res, self.all_high_res = low_res, high_res
        self.low_res, self.high_res = low_res[:num_images], high_res[:num_images]
        self.num_images, self.num_samples = num_images, num_samples
        self.sampling, self.seed, self.batch_size = sampling, seed, batch_size
        self.sampler = samplers.sampler(model, downsampling)

    def save(self, name, folder):
        """Draws a figure, and writes it as PNG and PDF.

        Args:
            name: one of `FIGURES`.
            folder: `pathlib.Path`.

        Returns:
            The path of both without its ending.

        Raises:
            UserError: `folder` cannot be written to.
        """
        rows, captions, notes = self.layout(name)
        path = folder / (f"figure{name}" if name.isdecimal() else name)
        with files.disk_errors(folder):
            plotting.save(plotting.sheet(rows, captions, notes), path.with_suffix(".png"))
            plotting.save_pdf(rows, captions, path.with_suffix(".pdf"), notes)
        return path

    def layout(self, name):
        """The rows, captions and notes of one of `FIGURES`."""
        if name == "2":
            return corners(self.low_res, self._predicted(), self._draw(self.num_samples, tau=1.0))
        if name == "5":
            return diversity(self.low_res, self._draw(self.num_samples))
        if name == "6":
            images = self._predicted() | self._drawn_at((1.0, 1.1, 1.2, math.inf))
            return by_method(self.low_res, images, self.high_res, self._nats)
        if name == "temperature":
            by_tau = self._drawn_at((1.0, 1.1, 1.2, 1.3, math.inf))
            return temperatures(self.low_res, by_tau, self.high_res)
        if name == "bits":
            sample, inside = self._draw(1)[:, 0], self._inspect(self.high_res)
            return where_the_bits_are(self.low_res, sample, self.high_res, inside)
        count = images_needed(name, self.num_images)
        low_res, high_res = self.all_low_res[:count], self.all_high_res[:count]
        groups = {"1": 1, "4": 4, "appendix": 5}[name]
        return side_by_side(low_res, self._draw(1, low_res)[:, 0], high_res, groups)

    def _draw(self, num_samples, low_res=None, tau=None):
        low_res = self.low_res if low_res is None else low_res
        bar = progress.Progress("drawing samples", len(low_res) * num_samples)
        return samplers.draw_samples(
            self.sampler, low_res, num_samples, self.seed, self._at(tau), self.batch_size, bar
        )

    def _at(self, tau):
        """The way to draw, at another tau if one is given."""
        tau = self.sampling.tau if tau is None else tau
        return dataclasses.replace(self.sampling, tau=tau)

    def _drawn_at(self, taus):
        return {self._at(tau).title: self._draw(1, tau=tau)[:, 0] for tau in taus}

    def _predicted(self):
        return {method.title: method.predict(self.low_res) for method in self.baselines}

    def _inspect(self, images):
        model, size = self.model, self.batch_size
        return inspection.inspect(model.inspect, self.low_res, images, batch_size=size)

    def _nats(self, low_res, images):
        return likelihood.nats(self.model, low_res, images, self.batch_size)


def side_by_side(low_res, samples, high_res, groups):
    """Figures 1 and 4 and the appendix: input, sample and truth of many images.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        samples: `[count, size, size, channels]` uint8.
        high_res: the same, the truth.
        groups: images beside one another.
    """
    triples = [list(triple) for triple in zip(low_res, samples, high_res)]
    rows = []
    for start in range(0, len(triples), groups):
        rows.append([picture for triple in triples[start : start + groups] for picture in triple])
    rows[-1] += [None] * (3 * groups - len(rows[-1]))
    return rows, ["input", "sample", "truth"] * groups, None


def diversity(low_res, samples):
    """Figure 5: several samples of each input.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        samples: `[count, num_samples, size, size, channels]` uint8.
    """
    rows = [[low, *own] for low, own in zip(low_res, samples)]
    return rows, ["input", *["sample"] * samples.shape[1]], None


def temperatures(low_res, by_tau, high_res):
    """Section 5.1: the same inputs and noise at several taus.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        by_tau: dict from a title to `[count, size, size, channels]` uint8.
        high_res: `[count, size, size, channels]` uint8, the truth.
    """
    rows = [list(row) for row in zip(low_res, *by_tau.values(), high_res)]
    return rows, ["input", *by_tau, "truth"], None


def by_method(low_res, by_title, high_res, nats):
    """Figure 6: every method's image, and its negative log-likelihood under the model.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        by_title: dict from a method's title to `[count, size, size, channels]` uint8.
        high_res: `[count, size, size, channels]` uint8, the truth.
        nats: function `(low_res, images)` to `[count]` nats an image.
    """
    pictures = {**by_title, "truth": high_res}
    rows = [list(row) for row in zip(low_res, *pictures.values())]
    scores = [nats(low_res, images) for images in pictures.values()]
    notes = [["", *(losses.in_words(n, high_res.shape[1:]) for n in own)] for own in zip(*scores)]
    notes[0][0] = "nats (bits/dim):"
    return rows, ["input", *_short(pictures)], notes


def where_the_bits_are(low_res, samples, high_res, inside):
    """What each pixel of the truth costs under A, B and A + B, and how uncertain A + B was.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        samples: `[count, size, size, channels]` uint8.
        high_res: the same, the truth.
        inside: what `prsr.models.inspection.inspect` found in the truth.
    """
    titles = {"conditioning": "nats: A", "prior": "B", "joint": "A + B"}
    nats = {name: inside[f"{name}_nats"].sum(-1) for name in titles}
    entropy = inside["joint_entropy_bits"].sum(-1)
    most = math.ceil(float(np.percentile(nats["conditioning"], 99)))  # a few are far beyond
    most_bits = 8 * high_res.shape[-1]  # of which no pixel has more
    rows, notes = [], []
    for k, own in enumerate(zip(low_res, samples, high_res)):
        heat = [plotting.heat(values[k], most) for values in nats.values()]
        rows.append([*own, *heat, plotting.heat(entropy[k], most_bits)])
        words = [losses.in_words(values[k].sum(), high_res.shape[1:]) for values in nats.values()]
        notes.append(["", "", "", *words, f"{entropy[k].mean():.1f} bits a pixel"])
    notes[0][0] = "nats (bits/dim):"
    notes[0][2] = f"0 to {most} nats:"
    captions = ["input", "sample", "truth", *titles.values(), "entropy: A + B"]
    return rows, captions, notes


def corners(low_res, by_title, samples):
    """Figure 2: what each model makes of a digit that may be in either corner.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        by_title: dict from a baseline's title to `[count, size, size, channels]` uint8.
        samples: `[count, num_samples, size, size, channels]` uint8 of the PixelCNN.
    """
    rows = [[*row[:-1], *row[-1]] for row in zip(low_res, *by_title.values(), samples)]
    return rows, ["input", *_short(by_title), *["PixelCNN"] * samples.shape[1]], None


def _short(titles):
    """Titles that fit above a picture."""
    return [title.replace("Cross-entropy", "CE") for title in titles]
