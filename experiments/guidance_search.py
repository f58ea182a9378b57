"""Searches for the best guidance and tau on validation images, with and without matching.

    python experiments/guidance_search.py --dataset=zip:img_align_celeba.zip --output=runs/guidance

Draws two samples of each image with the face model, in every way that `ways` lists, and prints a
table. Writes it to table.md, and ten samples of each way to faces.npy, their ways to names.json.
Takes an hour on two cores.
"""

import dataclasses
import json
import pathlib
import types
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import app, flags

from prsr.data import image_sets, pipeline, sources
from prsr.evaluation import metrics
from prsr.models import likelihood, losses
from prsr.sampling import cached, noise, projection
from prsr.workdir import pretrained

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, "Aligned CelebA images.", required=True)
flags.DEFINE_string("output", None, "The folder to write to.", required=True)
flags.DEFINE_integer("images", 96, "Validation images.")
flags.DEFINE_string("only", "", "Tries only the ways whose names contain this.")


def scaled(model, change):
    """The model with conditioning logits `change(A)`, `[batch, h, w, channels, 256]`."""

    def conditioning(low_res):
        return change(tf.cast(model.conditioning(low_res), tf.float32))

    return types.SimpleNamespace(conditioning=conditioning, prior=model.prior, scale=model.scale)


def by_rows(first, last):
    """Guidance that changes linearly from the first row to the last."""

    def change(logits):
        g = tf.linspace(float(first), float(last), logits.shape[1])
        return logits * (1 + g[None, :, None, None, None])

    return change


def by_channel(*guidance):
    """One guidance per channel."""
    return lambda logits: logits * (1 + tf.constant(guidance, tf.float32)[:, None])


def by_certainty(least, most):
    """Guidance that grows as A's entropy falls from 8 bits to 4."""

    def change(logits):
        log_p = tf.nn.log_softmax(logits)
        bits = -tf.reduce_sum(tf.exp(log_p) * log_p, -1, keepdims=True) / np.log(2)
        g = least + (most - least) * tf.clip_by_value((8 - bits) / 4, 0, 1)
        return logits * (1 + g)

    return change


def top_p(p):
    """Makes `prsr.sampling.noise.draw` keep the likeliest values, with total probability p."""

    def draw(logits, tau, uniform):
        ordered = tf.sort(logits * tau, direction="DESCENDING")
        before = tf.cumsum(tf.nn.softmax(ordered), axis=-1, exclusive=True)
        least = tf.reduce_min(tf.where(before < p, ordered, np.inf), axis=-1, keepdims=True)
        return original(tf.where(logits * tau >= least, logits, -1e9), tau, uniform)

    original = noise.draw
    return mock.patch.object(noise, "draw", draw)


class Way(NamedTuple):
    """A way to draw.

    Attributes:
        name: its name in the table.
        tau, guidance: as in `prsr.hparams.Sampling`.
        change: a function from A's logits to others, or None.
        top_p: the total probability of the values that are kept, or None.
    """

    name: str
    tau: float
    guidance: float = 0.0
    change: Callable | None = None
    top_p: float | None = None


def ways():
    """Yields every `Way` to try."""
    for tau in (1.0, 1.2, 1.35, 1.5):
        for guidance in (0, 1, 2, 3, 5):
            yield Way(f"tau {tau}, g {guidance}", tau, guidance)
    for ends in ((4, 0), (3, 1), (1, 3), (0, 4)):
        yield Way("tau 1.2, g from {} to {} by rows".format(*ends), 1.2, change=by_rows(*ends))
    for ends in ((0, 3), (0, 6), (1, 4), (2, 5), (3, 0)):
        name = "tau 1.2, g from {} to {} by A's certainty".format(*ends)
        yield Way(name, 1.2, change=by_certainty(*ends))
    for guidance in ((3, 1.5, 1.5), (1.5, 2.25, 2.25), (1, 2, 3), (3, 2, 1)):
        yield Way(
            "tau 1.2, g {}, {}, {} for R, G, B".format(*guidance), 1.2, change=by_channel(*guidance)
        )
    for guidance in (0, 2):
        for tau, p in ((1.0, 0.95), (1.0, 0.9), (1.0, 0.8), (1.2, 0.95)):
            yield Way(f"tau {tau}, g {guidance}, top-p {p}", tau, guidance, top_p=p)


def main(_):
    hparams, model = pretrained.workdir("faces").load_model()
    data = dataclasses.replace(hparams.data, dataset=FLAGS.dataset)
    source = sources.open_source(data.dataset, data.split, 3)
    validation_set = image_sets.load(source, data, "validation", FLAGS.images)
    low_res, high_res = pipeline.evaluation_arrays(validation_set, data, model.scale)
    seeds = np.concatenate([noise.image_seeds(image, 1, 2) for image in low_res])
    inputs, originals = low_res.repeat(2, 0), high_res.repeat(2, 0)
    folder = pathlib.Path(FLAGS.output)
    folder.mkdir(parents=True, exist_ok=True)

    def sharpness(drawn):
        """The mean difference of vertical neighbours, relative to the originals'."""
        steps = [np.abs(np.diff(x.astype(float), axis=1)).mean() for x in (drawn, high_res)]
        return steps[0] / steps[1]

    def bits(low_res, images):
        nats = likelihood.nats(model, low_res, images, 32).mean()
        return losses.bits_per_dim(nats, images.shape[1:])

    plain = cached.Sampler(model)

    def draw(way):
        if way.top_p:
            with top_p(way.top_p):
                return cached.Sampler(model)(inputs, seeds, way.tau, guidance=way.guidance)
        if way.change:
            return cached.Sampler(scaled(model, way.change))(inputs, seeds, way.tau)
        return plain(inputs, seeds, way.tau, guidance=way.guidance)

    lines = [
        f"originals: {bits(low_res, high_res):.3f} bits/dim; {len(low_res)} images, two samples "
        f"of each",
        "",
        "| | as drawn: pSNR | SSIM | consistency | matched: pSNR | SSIM | diversity | sharpness | "
        "bits/dim |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    faces, names = [], []
    for way in ways():
        if FLAGS.only not in way.name:
            continue
        drawn = draw(way)
        matched = np.asarray(projection.match(drawn, inputs))
        numbers = [
            f"{metrics.psnr(drawn, originals).mean():.2f}",
            f"{metrics.ssim(drawn, originals).mean():.3f}",
            f"{metrics.consistency(drawn, inputs).mean():.5f}",
            f"{metrics.psnr(matched, originals).mean():.2f}",
            f"{metrics.ssim(matched, originals).mean():.3f}",
            f"{metrics.diversity(matched.reshape(-1, 2, *matched.shape[1:])).mean():.3f}",
            f"{sharpness(matched):.3f}",
            f"{bits(inputs, matched):.3f}",
        ]
        lines.append(f"| {way.name} | " + " | ".join(numbers) + " |")
        print(lines[-1], flush=True)
        (folder / "table.md").write_text("\n".join(lines) + "\n", "utf-8")
        names.append(way.name)
        faces.append(matched[:20:2])
        np.save(folder / "faces.npy", np.stack(faces))
    (folder / "names.json").write_text(json.dumps(names) + "\n", "utf-8")


if __name__ == "__main__":
    app.run(main)
