"""Draws and lays out the paper's figures from a run.

Each layout is a function that returns `(rows, captions, notes)` for `prsr.plotting.sheet`. Inputs
are `low_res`, `[count, low size, low size, channels]` uint8; originals are `high_res`, `[count,
size, size, channels]` uint8; `by_title` maps a way to make images to such images.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from prsr import images, plotting
from prsr.hparams import Sampling
from prsr.models import inspection, likelihood, losses
from prsr.sampling import samplers
from prsr.system import files, progress
from prsr.system.errors import UserError

FIGURES = ("1", "2", "4", "5", "6", "temperature", "guidance", "bits", "appendix")
_TAUS, _GUIDANCE = (1.0, 1.2, 1.35, 1.5), (0.0, 1.0, 2.0, 3.0, 5.0)  # of the figure "guidance"


def chosen(names, pairs):
    """Returns the names if a run with such `pairs` can have these figures; with None, all it can.

    MNIST corners have only figure 2. Raises `UserError` for others.
    """
    possible = [name for name in FIGURES if (name == "2") == (pairs != "downsampled")]
    for name in names or []:
        if name not in possible:
            raise UserError(
                f"a run with pairs={pairs} has no figure {name}; it can have {', '.join(possible)}"
            )
    return names or possible


def images_needed(name, num_images):
    """Returns how many test images a figure shows when others show `num_images`."""
    return {"4": 3, "appendix": 10}.get(name, 1) * num_images


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaperFigures:
    """The figures of a model on some test images.

    Attributes:
        model: a built `PixelRecursiveSuperResolution`.
        baselines: function that returns a list of `prsr.evaluation.methods.Method`; called for
            figures 2 and 6.
        low_res: `[count, low size, low size, channels]` uint8, as many as `images_needed`.
        high_res: `[count, size, size, channels]` uint8, the originals.
        num_images: test images per figure.
        num_samples: samples per input in figures 2 and 5.
        sampling: `prsr.hparams.Sampling`. If it differs from the paper's, samples drawn as in the
            paper at the same tau appear beside these. 2, 6 and temperature have their own taus.
        downsampling: how inputs are made, one of `prsr.hparams.DOWNSAMPLING`.
        seed: seed of the samples.
        batch_size: samples per batch; does not affect the images.
    """

    model: Any
    baselines: Callable
    low_res: np.ndarray
    high_res: np.ndarray
    num_images: int
    num_samples: int
    sampling: Sampling
    downsampling: str
    seed: int
    batch_size: int

    def save(self, name, folder):
        """Writes one of `FIGURES` as PNG and PDF to a folder, a `pathlib.Path`.

        Returns the path without extension. Raises `UserError` if the folder is not writable.
        """
        rows, captions, notes = self._layout(name)
        path = folder / (f"figure{name}" if name.isdecimal() else name)
        with files.disk_errors(folder):
            images.save(plotting.sheet(rows, captions, notes), path.with_suffix(".png"))
            plotting.save_pdf(rows, captions, path.with_suffix(".pdf"), notes)
        return path

    def _layout(self, name):
        """Returns the rows, captions and notes of one of `FIGURES`."""
        count = 1 if name == "guidance" else images_needed(name, self.num_images)
        low_res, high_res = self.low_res[:count], self.high_res[:count]
        if name == "2":
            samplings = [dataclasses.replace(self.sampling, tau=1.0)]
            (samples,) = self._drawn(low_res, samplings, self.num_samples).values()
            return corners(low_res, self._predicted(low_res), samples)
        if name == "5":
            by_title = self._drawn(low_res, self._samplings(), self.num_samples)
            return diversity(low_res, by_title)
        if name == "6":
            by_title = self._predicted(low_res)
            by_title |= self._first_drawn(low_res, self._samplings(1.0, 1.1, 1.2, math.inf))
            by_title["original"] = high_res
            scored = likelihood.Repeated(self.model)
            nats = [
                likelihood.nats(scored, low_res, pictures, self.batch_size)
                for pictures in by_title.values()
            ]
            return by_method(low_res, by_title, nats)
        if name == "temperature":
            samplings = self._samplings(1.0, 1.1, 1.2, 1.3, math.inf)
            return side_by_side(low_res, self._first_drawn(low_res, samplings), high_res)
        if name == "guidance":
            matched = self.sampling.match_input
            samplings = [Sampling(tau, g, matched) for tau in _TAUS for g in _GUIDANCE]
            samples = np.concatenate(list(self._first_drawn(low_res, samplings).values()))
            return guidances(low_res[0], samples, high_res[0])
        if name == "bits":
            (samples,) = self._first_drawn(low_res, [self.sampling]).values()
            inside = inspection.inspect(
                self.model.inspect, low_res, high_res, batch_size=self.batch_size
            )
            return where_the_bits_are(low_res, samples, high_res, inside)
        by_title = self._first_drawn(low_res, self._samplings())
        groups = {"1": 1, "4": 4, "appendix": 5}[name]
        return side_by_side(low_res, by_title, high_res, groups)

    @functools.cached_property
    def _sampler(self):
        return samplers.Sampler(self.model, self.downsampling)

    def _drawn(self, low_res, samplings, num_samples):
        """Draws a dict from titles to `[count, num_samples, size, size, channels]` uint8."""
        drawn = {}
        for one in samplings:
            bar = progress.Progress(f"drawing, {one.title}", len(low_res) * num_samples)
            drawn[one.title] = samplers.draw_samples(
                self._sampler, low_res, num_samples, self.seed, one, self.batch_size, bar
            )
        return drawn

    def _first_drawn(self, low_res, samplings):
        drawn = self._drawn(low_res, samplings, 1)
        return {title: samples[:, 0] for title, samples in drawn.items()}

    def _samplings(self, *taus):
        """Returns the paper's samplings at some taus (default: ours), and ours if it differs."""
        samplings = [Sampling(tau) for tau in taus or (self.sampling.tau,)]
        return samplings if self.sampling.in_paper else [*samplings, self.sampling]

    def _predicted(self, low_res):
        return {method.title: method.predict(low_res) for method in self.baselines()}


def side_by_side(low_res, by_title, high_res, groups=1):
    """Lays out figures 1 and 4, the appendix and temperatures: so many images (groups) per row."""
    each = [list(one) for one in zip(low_res, *by_title.values(), high_res)]
    rows = [sum(each[start : start + groups], []) for start in range(0, len(each), groups)]
    captions = ["input", *_sample_captions(by_title), "original"] * groups
    rows[-1] += [None] * (len(captions) - len(rows[-1]))
    return rows, captions, None


def diversity(low_res, by_title):
    """Lays out figure 5: several samples of each input, `[count, num_samples, size, size, ...]`."""
    samples = np.concatenate(list(by_title.values()), axis=1)
    rows = [[low, *several] for low, several in zip(low_res, samples)]
    titles = np.repeat(_sample_captions(by_title), samples.shape[1] // len(by_title))
    return rows, ["input", *titles.tolist()], None


def guidances(low_res, samples, high_res):
    """Shows samples of one input: taus from top to bottom, guidances from left to right.

    `samples` are `[count, size, size, channels]` uint8, the guidances of the first tau first.
    """
    rows, width = [], len(_GUIDANCE)
    for start in range(0, len(samples), width):
        first, last = (None, None) if start else (low_res, high_res)
        rows.append([first, *samples[start : start + width], last])
    notes = [["", *[f"tau = {tau:g}"] * width, ""] for tau in _TAUS]
    return rows, ["input", *[f"guidance {g:g}" for g in _GUIDANCE], "original"], notes


def by_method(low_res, by_title, nats):
    """Lays out figure 6: every method's image, with its negative log-likelihood under the model.

    `nats` has `[count]` nats per image for each entry of `by_title`; the last are the originals.
    """
    rows = [list(row) for row in zip(low_res, *by_title.values())]
    shape = rows[0][-1].shape
    notes = [["", *(losses.in_words(n, shape) for n in row)] for row in zip(*nats)]
    notes[0][0] = "nats (bits/dim):"
    return rows, ["input", *_short_captions(by_title)], notes


def where_the_bits_are(low_res, samples, high_res, inside):
    """Shows each pixel's cost in nats under A, B and A + B, and the entropy of A + B.

    `inside` is the result of `prsr.models.inspection.inspect` for the originals.
    """
    titles = {"conditioning": "nats: A", "prior": "B", "joint": "A + B"}
    nats = [inside[f"{name}_nats"].sum(-1) for name in titles]
    entropy = inside["joint_entropy_bits"].sum(-1)
    most = math.ceil(float(np.percentile(nats[0], 99)))  # a few are far beyond
    most_bits = 8 * high_res.shape[-1]  # of which no pixel has more
    rows, notes = [], []
    for k, pictures in enumerate(zip(low_res, samples, high_res)):
        heat = [plotting.heat(values[k], most) for values in nats]
        rows.append([*pictures, *heat, plotting.heat(entropy[k], most_bits)])
        words = [losses.in_words(values[k].sum(), high_res.shape[1:]) for values in nats]
        notes.append(["", "", "", *words, f"{entropy[k].mean():.1f} bits per pixel"])
    notes[0][0] = "nats (bits/dim):"
    notes[0][2] = f"0 to {most} nats:"
    captions = ["input", "sample", "original", *titles.values(), "entropy: A + B"]
    return rows, captions, notes


def corners(low_res, by_title, samples):
    """Lays out figure 2: the baselines' images, and several samples of the PixelCNN."""
    rows = [[*row[:-1], *row[-1]] for row in zip(low_res, *by_title.values(), samples)]
    return rows, ["input", *_short_captions(by_title), *["PixelCNN"] * samples.shape[1]], None


def _sample_captions(titles):
    """Returns captions for samples: "sample" if they were all drawn in one way."""
    return _short_captions(titles) if len(titles) > 1 else ["sample"]


def _short_captions(titles):
    """Shortens titles to fit above a picture."""
    return [title.replace("Cross-entropy", "CE").replace(", ", ",\n") for title in titles]
