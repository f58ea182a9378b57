"""Draws samples of the inputs and writes images, a grid and scores; used by `prsr.sample`."""

import json
import pathlib
import tempfile
import time

import numpy as np

from prsr import images, plotting
from prsr.models import likelihood, losses
from prsr.sampling import noise, samplers
from prsr.system import files, progress

_MOST_ROWS = 64  # of the grid
_WRITE_EVERY = 30  # seconds between updates of nats.json


def super_resolve(
    model, sampler, inputs, output, num_samples, sampling, seed, batch_size, given=None
):
    """Draws samples and writes them as PNGs, with a grid of the first inputs and the likelihoods.

    Writes `NAME_K.png` for sample K of each input as soon as its batch is drawn, `grid.png` (input,
    bicubic, samples, and any original) as soon as its rows are drawn, and `nats.json`. Prints the
    likelihoods.

    Args:
        model: a trained model; scores the images if it has a likelihood.
        sampler: the model's sampler, as `samplers.sampler` returns it.
        inputs: list of `Input`.
        output: `pathlib.Path` of the output folder.
        num_samples: samples per input.
        sampling: `prsr.hparams.Sampling`.
        seed: seed of the samples.
        batch_size: samples per batch.
        given: values that every sample keeps, as for `samplers.draw`; or None.

    Raises:
        UserError: `output` is not writable.
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
    drawn = samplers.stream(sampler, low_res, seeds, sampling, batch_size, bar, given)
    rows, report, unscored, written = [], [], [], time.monotonic()
    scored = likelihood.Repeated(model) if model.has_likelihood else None
    for number, image in enumerate(inputs):
        own = []
        for k in range(num_samples):
            own.append(next(drawn))
            with files.disk_errors(output):
                images.save(images.to_pil(own[k]), output / f"{image.name}_{k + 1}.png")
        bicubic = np.asarray(images.upsample_bicubic(image.low_res, model.scale))
        if number < _MOST_ROWS:
            rows.append([image.low_res, bicubic, *own, image.high_res])
        if number == min(len(inputs), _MOST_ROWS) - 1:
            with files.disk_errors(output):
                images.save(_sheet(rows, num_samples), output / "grid.png")
        if not scored:
            continue
        unscored.append((image, bicubic, own))
        is_last = number == len(inputs) - 1
        if (len(unscored) + 1) * (num_samples + 2) <= batch_size and not is_last:
            continue  # the next input fits in the same batch
        if not report:
            print("nats per image (bits/dim) under the model:")
        for entry in _nats(scored, unscored, batch_size):
            report.append(entry)
            _print_row(entry, bicubic.shape)
        unscored = []
        if time.monotonic() - written > _WRITE_EVERY or is_last:
            with files.disk_errors(output), files.replacing(output / "nats.json") as partial:
                partial.write_text(json.dumps(report, indent=2) + "\n")
            written = time.monotonic()
    part = f" (the first {len(rows)} of {len(inputs):,} images)" if len(rows) < len(inputs) else ""
    print(f"wrote {progress.counted(count, 'sample')} and grid.png{part} to {output}")


def _sheet(rows, num_samples):
    """Draws the grid; each row is an input, bicubic, samples, and an original or None."""
    captions = ["input", "bicubic", *[f"sample {k + 1}" for k in range(num_samples)]]
    if all(row[-1] is None for row in rows):
        return plotting.sheet([row[:-1] for row in rows], captions)
    return plotting.sheet(rows, [*captions, "original"])


def _nats(scored, drawn, batch_size):
    """Yields the entry of nats.json for each input: the negative log-likelihoods of its images.

    Args:
        scored: a model, as for `likelihood.nats`.
        drawn: list of `(image, bicubic, samples)`: an `Input` and its images.
        batch_size: images per batch.
    """
    low_res, pictures = [], []
    for image, bicubic, samples in drawn:
        own = [bicubic, *samples, *([] if image.high_res is None else [image.high_res])]
        low_res += [image.low_res] * len(own)
        pictures += own
    nats = iter(likelihood.nats(scored, np.stack(low_res), np.stack(pictures), batch_size).tolist())
    for image, _, samples in drawn:
        own = {"bicubic": next(nats), "samples": [next(nats) for _ in samples]}
        if image.high_res is not None:
            own["original"] = next(nats)
        yield {"name": image.name, "nats_per_image": own}


def _print_row(entry, image_shape):
    scores = entry["nats_per_image"]
    named = [("bicubic", scores["bicubic"])]
    named += [(f"sample {k + 1}", nats) for k, nats in enumerate(scores["samples"])]
    named += [("original", scores["original"])] if "original" in scores else []
    cells = [f"{name} {losses.in_words(nats, image_shape)}" for name, nats in named]
    print(f"  {entry['name']}: {', '.join(cells)}")
