"""What `prsr.sample` does: inputs from files, samples and a picture of all out."""

import json
import pathlib
import tempfile
import time

import numpy as np

from prsr import files, images, plotting, progress
from prsr.models import likelihood, losses
from prsr.sampling import noise, samplers

_MOST_ROWS = 64  # of the grid
_WRITE_EVERY = 30  # seconds between two versions of nats.json


def super_resolve(
    model, hparams, inputs, output, num_samples, sampling, seed, batch_size, given=None
):
    """Draws samples, writes each as PNG, a grid of the first inputs, and the likelihoods.

    Writes `NAME_K.png` for sample K of each input as soon as its batch is drawn, `grid.png` (input,
    bicubic, samples, and the original if there is one) and `nats.json`, and prints the table.

    Args:
        model: a built `PixelRecursiveSuperResolution`.
        hparams: its `Hparams`.
        inputs: list of `Input`.
        output: `pathlib.Path` of the folder.
        num_samples: samples an input.
        sampling: `prsr.hparams.Sampling`.
        seed: of the samples.
        batch_size: samples drawn at once.
        given: what every sample continues, as `samplers.draw`; or None.

    Raises:
        UserError: `output` cannot be written.
    """
    with files.disk_errors(output):
        output.mkdir(parents=True, exist_ok=True)
        longest = max((image.name for image in inputs), key=lambda name: len(name.encode()))
        with tempfile.TemporaryDirectory(dir=output, prefix=".partial-") as folder:
            (pathlib.Path(folder) / f".partial-{longest}_{num_samples}.png").touch()
    count = len(inputs) * num_samples
    few = count <= 20 * batch_size
    bar = progress.Progress("drawing samples", count, every=0 if few else 5)
    low_res = np.repeat([image.low_res for image in inputs], num_samples, axis=0)
    seeds = np.concatenate(
        [noise.image_seeds(image.low_res, seed, num_samples) for image in inputs]
    )
    sampler = samplers.sampler(model, hparams.data.downsampling)
    drawn = samplers.stream(sampler, low_res, seeds, sampling, batch_size, bar, given)
    rows, report, written = [], [], time.monotonic()
    for number, image in enumerate(inputs):
        own = []
        for k in range(num_samples):
            own.append(next(drawn))
            with files.disk_errors(output):
                plotting.save(plotting.to_pil(own[k]), output / f"{image.name}_{k + 1}.png")
        bicubic = np.asarray(images.upsample_bicubic(image.low_res, hparams.model.scale))
        if number < _MOST_ROWS:
            rows.append([image.low_res, bicubic, *own, image.high_res])
        if not model.has_likelihood:
            continue
        if not report:
            print("nats per image (bits/dim), by the model:")
        nats = _nats(model, image, bicubic, own, batch_size)
        report.append({"name": image.name, "nats_per_image": nats})
        _print_row(report[-1], bicubic.shape)
        if time.monotonic() - written > _WRITE_EVERY or number == len(inputs) - 1:
            with files.disk_errors(output), files.replacing(output / "nats.json") as partial:
                partial.write_text(json.dumps(report, indent=2) + "\n")
            written = time.monotonic()
    captions = ["input", "bicubic", *[f"sample {k + 1}" for k in range(num_samples)]]
    if any(row[-1] is not None for row in rows):
        captions.append("original")
    else:
        rows = [row[:-1] for row in rows]
    with files.disk_errors(output):
        plotting.save(plotting.sheet(rows, captions), output / "grid.png")
    part = f" (the first {len(rows)} of {len(inputs):,} images)" if len(rows) < len(inputs) else ""
    print(f"wrote {count:,} samples and grid.png{part} to {output}")


def _nats(model, image, bicubic, own, batch_size):
    """The negative log-likelihoods of an input's images, by name."""
    truth = [] if image.high_res is None else [image.high_res]
    pictures = np.stack([bicubic, *own, *truth])
    repeated = np.repeat(image.low_res[None], len(pictures), axis=0)
    nats = likelihood.nats(model, repeated, pictures, batch_size).tolist()
    scores = {"bicubic": nats[0], "samples": nats[1 : len(own) + 1]}
    return {**scores, "original": nats[-1]} if truth else scores


def _print_row(entry, image_shape):
    scores = entry["nats_per_image"]
    named = [("bicubic", scores["bicubic"])]
    named += [(f"sample {k + 1}", nats) for k, nats in enumerate(scores["samples"])]
    named += [("original", scores["original"])] if "original" in scores else []
    cells = [f"{name} {losses.in_words(nats, image_shape)}" for name, nats in named]
    print(f"  {entry['name']}: {', '.join(cells)}")
