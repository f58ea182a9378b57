"""What `prsr.sample` does: inputs from files, samples and a picture of all out."""

import json
import tempfile

import numpy as np

from prsr import files, images, plotting, progress
from prsr.models import likelihood, losses
from prsr.sampling import samplers


def super_resolve(
    model, hparams, inputs, output, num_samples, sampling, seed, batch_size, given=None
):
    """Draws samples, writes each as PNG, a grid of all, and their likelihoods.

    Writes `NAME_K.png` for sample K of each input, `grid.png` (input, bicubic, samples,
    and the original if there is one) and `nats.json`, and prints the table.

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
        tempfile.TemporaryFile(dir=output).close()
    low_res = np.stack([i.low_res for i in inputs])
    bar = progress.Progress("drawing samples", len(inputs) * num_samples, every=0)
    sampler = samplers.sampler(model, hparams.data.downsampling)
    drawn = samplers.draw_samples(
        sampler, low_res, num_samples, seed, sampling, batch_size, bar, given
    )
    rows, report = [], []
    for image, own in zip(inputs, drawn):
        bicubic = np.asarray(images.upsample_bicubic(image.low_res, hparams.model.scale))
        truth = [] if image.high_res is None else [image.high_res]
        rows.append([image.low_res, bicubic, *own, *(truth or [None])])
        if not model.has_likelihood:
            continue
        repeated = np.repeat(image.low_res[None], 1 + len(own) + len(truth), axis=0)
        pictures = np.stack([bicubic, *own, *truth])
        nats = likelihood.nats(model, repeated, pictures, batch_size).tolist()
        scores = {"bicubic": nats[0], "samples": nats[1 : num_samples + 1]}
        if truth:
            scores["original"] = nats[-1]
        report.append({"name": image.name, "nats_per_image": scores})
    captions = ["input", "bicubic", *[f"sample {k + 1}" for k in range(num_samples)]]
    if any(image.high_res is not None for image in inputs):
        captions.append("original")
    else:
        rows = [row[:-1] for row in rows]
    with files.disk_errors(output):
        for image, own in zip(inputs, drawn):
            for k, picture in enumerate(own):
                plotting.save(plotting.to_pil(picture), output / f"{image.name}_{k + 1}.png")
        plotting.save(plotting.sheet(rows, captions), output / "grid.png")
        if report:
            with files.replacing(output / "nats.json") as partial:
                partial.write_text(json.dumps(report, indent=2) + "\n")
    if report:
        _print_table(report, drawn.shape[2:])
    print(f"wrote {len(inputs) * num_samples} samples and grid.png to {output}")


def _print_table(report, image_shape):
    print("nats per image (bits/dim), by the model:")
    for entry in report:
        scores = entry["nats_per_image"]
        named = [("bicubic", scores["bicubic"])]
        named += [(f"sample {k + 1}", nats) for k, nats in enumerate(scores["samples"])]
        named += [("original", scores["original"])] if "original" in scores else []
        cells = [f"{name} {losses.in_words(nats, image_shape)}" for name, nats in named]
        print(f"  {entry['name']}: {', '.join(cells)}")
