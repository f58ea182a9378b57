"""Draws and lays out the paper's figures from a run.

Each layout is a function that returns `(rows, captions, notes)` for `prsr.plotting.sheet`.
"""

import dataclasses
import math

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
    """Checks the requested figures, or returns all that a run can have.

    Args:
        names: some of `FIGURES`, or None for all possible ones.
        pairs: one of `prsr.hparams.PAIRS`; MNIST corners have only figure 2.

    Raises:
        UserError: a name is not a figure, or not one that such a run can have.
    """
    possible = [name for name in FIGURES if (name == "2") == (pairs != "downsampled")]
    for name in names or []:
        if name not in FIGURES:
            raise UserError(f"expected figures among {', '.join(FIGURES)}; got '{name}'")
        if name not in possible:
            raise UserError(
                f"a run with pairs={pairs} has no figure {name}; it can have {', '.join(possible)}"
            )
    return names or possible


def images_needed(name, num_images):
    """Returns how many test images a figure shows when others show `num_images`."""
    return {"4": 3, "appendix": 10}.get(name, 1) * num_images


class PaperFigures:
    """The figures of a model on some test images.

    Args:
        model: a built `PixelRecursiveSuperResolution`.
        baselines: function that returns a list of `prsr.evaluation.methods.Method`; called for
            figures 2 and 6.
        low_res: `[count, low size, low size, channels]` uint8, as many as `images_needed`.
        high_res: `[count, size, size, channels]` uint8, the truth.
        num_images: test images per figure.
        num_samples: samples per input in figures 2 and 5.
        sampling: `prsr.hparams.Sampling`. If it differs from the paper's, samples drawn as in the
            paper at the same tau appear beside these. 2, 6 and temperature have their own taus.
        downsampling: how inputs are made, one of `prsr.hparams.DOWNSAMPLING`.
        seed: seed of the samples.
        batch_size: samples per batch; does not affect the images.
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
        self._scored = likelihood.Repeated(model)

    def save(self, name, folder):
        """Draws a figure and writes it as PNG and PDF.

        Args:
            name: one of `FIGURES`.
            folder: `pathlib.Path`.

        Returns:
            The path of both files without extension.

        Raises:
            UserError: `folder` is not writable.
        """
        rows, captions, notes = self.layout(name)
        path = folder / (f"figure{name}" if name.isdecimal() else name)
        with files.disk_errors(folder):
            images.save(plotting.sheet(rows, captions, notes), path.with_suffix(".png"))
            plotting.save_pdf(rows, captions, path.with_suffix(".pdf"), notes)
        return path

    def layout(self, name):
        """Returns the rows, captions and notes of one of `FIGURES`."""
        if name == "2":
            ways = [dataclasses.replace(self.sampling, tau=1.0)]
            (samples,) = self._drawn(ways, num_samples=self.num_samples).values()
            return corners(self.low_res, self._predicted(), samples)
        if name == "5":
            samples = self._drawn(self._ways(), num_samples=self.num_samples)
            return diversity(self.low_res, samples)
        if name == "6":
            images = self._predicted() | self._first_drawn(self._ways(1.0, 1.1, 1.2, math.inf))
            return by_method(self.low_res, images, self.high_res, self._nats)
        if name == "temperature":
            by_title = self._first_drawn(self._ways(1.0, 1.1, 1.2, 1.3, math.inf))
            return temperatures(self.low_res, by_title, self.high_res)
        if name == "guidance":
            return self._guidance()
        if name == "bits":
            sample = self._first_drawn([self.sampling])[self.sampling.title]
            return where_the_bits_are(
                self.low_res, sample, self.high_res, self._inspect(self.high_res)
            )
        count = images_needed(name, self.num_images)
        low_res, high_res = self.all_low_res[:count], self.all_high_res[:count]
        groups = {"1": 1, "4": 4, "appendix": 5}[name]
        return side_by_side(low_res, self._first_drawn(self._ways(), low_res), high_res, groups)

    def _ways(self, *taus):
        """Returns the paper's samplings at some taus (default: ours), and ours if it differs."""
        ways = [Sampling(tau) for tau in taus or (self.sampling.tau,)]
        return ways if self.sampling.in_paper else [*ways, self.sampling]

    def _drawn(self, ways, low_res=None, num_samples=1):
        """Draws a dict from titles to `[count, num_samples, size, size, channels]` uint8."""
        low_res = self.low_res if low_res is None else low_res
        drawn = {}
        for way in ways:
            bar = progress.Progress(f"drawing, {way.title}", len(low_res) * num_samples)
            drawn[way.title] = samplers.draw_samples(
                self.sampler, low_res, num_samples, self.seed, way, self.batch_size, bar
            )
        return drawn

    def _first_drawn(self, ways, low_res=None):
        return {title: drawn[:, 0] for title, drawn in self._drawn(ways, low_res).items()}

    def _guidance(self):
        """Shows one input at several taus (top to bottom) and guidances (left to right)."""
        ways = [
            dataclasses.replace(self.sampling, tau=tau, guidance=guidance)
            for tau in _TAUS
            for guidance in _GUIDANCE
        ]
        drawn = [image[0] for image in self._first_drawn(ways, self.low_res[:1]).values()]
        rows, width = [], len(_GUIDANCE)
        for start in range(0, len(drawn), width):
            first, last = (None, None) if start else (self.low_res[0], self.high_res[0])
            rows.append([first, *drawn[start : start + width], last])
        notes = [["", *[f"tau = {tau:g}"] * width, ""] for tau in _TAUS]
        return rows, ["input", *[f"guidance {g:g}" for g in _GUIDANCE], "truth"], notes

    def _predicted(self):
        return {method.title: method.predict(self.low_res) for method in self.baselines()}

    def _inspect(self, images):
        model, size = self.model, self.batch_size
        return inspection.inspect(model.inspect, self.low_res, images, batch_size=size)

    def _nats(self, low_res, images):
        return likelihood.nats(self._scored, low_res, images, self.batch_size)


def side_by_side(low_res, by_title, high_res, groups):
    """Lays out figures 1 and 4 and the appendix: input, sample and truth of many images.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        by_title: dict from a way to draw to `[count, size, size, channels]` uint8.
        high_res: the same, the truth.
        groups: images per row.
    """
    each = [list(one) for one in zip(low_res, *by_title.values(), high_res)]
    rows = [sum(each[start : start + groups], []) for start in range(0, len(each), groups)]
    captions = ["input", *(_short(by_title) if len(by_title) > 1 else ["sample"]), "truth"] * groups
    rows[-1] += [None] * (len(captions) - len(rows[-1]))
    return rows, captions, None


def diversity(low_res, by_title):
    """Lays out figure 5: several samples of each input.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        by_title: dict from a way to draw to `[count, num_samples, size, size, channels]` uint8.
    """
    rows = [[low, *sum(map(list, own), [])] for low, *own in zip(low_res, *by_title.values())]
    titles = _short(by_title) if len(by_title) > 1 else ["sample"]
    count = next(iter(by_title.values())).shape[1]
    return rows, ["input", *[title for title in titles for _ in range(count)]], None


def temperatures(low_res, by_title, high_res):
    """Lays out section 5.1's comparison: the same inputs and noise at several taus.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        by_title: dict from a title to `[count, size, size, channels]` uint8.
        high_res: `[count, size, size, channels]` uint8, the truth.
    """
    rows = [list(row) for row in zip(low_res, *by_title.values(), high_res)]
    return rows, ["input", *_short(by_title), "truth"], None


def by_method(low_res, by_title, high_res, nats):
    """Lays out figure 6: every method's image, with its negative log-likelihood under the model.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        by_title: dict from a method's title to `[count, size, size, channels]` uint8.
        high_res: `[count, size, size, channels]` uint8, the truth.
        nats: function from `(low_res, images)` to `[count]` nats per image.
    """
    pictures = {**by_title, "truth": high_res}
    rows = [list(row) for row in zip(low_res, *pictures.values())]
    scores = [nats(low_res, images) for images in pictures.values()]
    notes = [["", *(losses.in_words(n, high_res.shape[1:]) for n in own)] for own in zip(*scores)]
    notes[0][0] = "nats (bits/dim):"
    return rows, ["input", *_short(pictures)], notes


def where_the_bits_are(low_res, samples, high_res, inside):
    """Shows each pixel's cost in nats under A, B and A + B, and the entropy of A + B.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        samples: `[count, size, size, channels]` uint8.
        high_res: the same, the truth.
        inside: result of `prsr.models.inspection.inspect` for the truth.
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
    """Lays out figure 2: each model's output for a digit that may be in either corner.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        by_title: dict from a baseline's title to `[count, size, size, channels]` uint8.
        samples: `[count, num_samples, size, size, channels]` uint8 of the PixelCNN.
    """
    rows = [[*row[:-1], *row[-1]] for row in zip(low_res, *by_title.values(), samples)]
    return rows, ["input", *_short(by_title), *["PixelCNN"] * samples.shape[1]], None


def _short(titles):
    """Shortens titles to fit above a picture."""
    return [title.replace("Cross-entropy", "CE").replace(", ", ",\n") for title in titles]
