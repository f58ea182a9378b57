"""Times the train step: ours, with XLA, in bfloat16, and PyTorch's if installed."""

import dataclasses
import importlib.util
import math
import pathlib
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf

from benchmarks import rounds
from prsr.data import records
from prsr.data.image_sets import ImageSet
from prsr.data.pipeline import training_pairs
from prsr.models.build import build_model
from prsr.training.trainer import Trainer

OURS = "ours: causal taps, float32"
XLA = "ours, XLA"
MIXED = "ours, mixed bfloat16"
TORCH = "PyTorch, eager, channels last"
TORCH_BFLOAT16 = "PyTorch, bfloat16"

_PIPELINE_BATCHES = 50


def variants():
    """The names of the variants that can be timed here. PyTorch is timed on CPUs only."""
    has_torch = importlib.util.find_spec("torch") is not None and not _on_gpu()
    return [OURS, XLA, MIXED] + has_torch * [TORCH, TORCH_BFLOAT16]


def _on_gpu():
    return bool(tf.config.list_logical_devices("GPU"))


def forward_operations(model, image_size):
    """Floating point operations of one image's forward pass: two per weight and position."""
    kernels = [v for v in model.prior.trainable_variables if v.name == "kernel"]
    total = sum(2 * math.prod(kernel.shape) for kernel in kernels) * image_size**2
    network, size = model.conditioning, image_size // model.scale
    total += 2 * math.prod(network.stem.kernel.shape) * size**2
    for stage, blocks in enumerate(network.stages):
        if stage > 0:
            # Each input position of a transposed convolution meets all of its weights.
            total += 2 * math.prod(network.upsamplings[stage - 1].kernel.shape) * size**2
            size *= 2
        for block in blocks:
            for conv in (block.first, block.second):
                total += 2 * math.prod(conv.kernel.shape) * size**2
    return total + 2 * math.prod(network.logits.kernel.shape) * size**2


def image_set(hparams, count=256):
    """Images of noise: the amount of arithmetic does not depend on what they show."""
    size = hparams.data.image_size
    rng = np.random.default_rng(0)
    high_res = rng.integers(0, 256, (count, size, size, hparams.model.channels), np.uint8)
    return ImageSet([str(i) for i in range(count)], high_res)


def trainer(hparams, variant):
    """A `Trainer` for one of our variants."""
    changed = dataclasses.replace(
        hparams.training, jit_compile=variant == XLA, mixed_precision=variant == MIXED
    )
    return Trainer(dataclasses.replace(hparams, training=changed), image_set(hparams))


def step(hparams, variant):
    """A function that takes one train step of a variant and waits for it."""
    ours = trainer(hparams, OURS if variant in (TORCH, TORCH_BFLOAT16) else variant)
    batch = next(iter(ours.pairs()))
    if variant in (TORCH, TORCH_BFLOAT16):
        from benchmarks import torch_step

        other = torch_step.Trainer(ours.model, hparams.training, variant == TORCH_BFLOAT16)
        batch = [images.numpy() for images in batch]
        return lambda: other.train_step(*batch)
    return lambda: float(ours.train_step(batch)["joint"])


def compare(hparams, num_rounds):
    """Times the train step of every variant, in turn.

    Args:
        hparams: `prsr.hparams.Hparams`.
        num_rounds: how many times each is timed.

    Returns:
        A list of dicts, one per variant.
    """
    contenders = {name: step(hparams, name) for name in variants()}
    multiply, operations = rounds.matrix_product()
    times, first = rounds.interleave(contenders | {rounds.MATRIX: multiply}, num_rounds)
    matrix_gflops = operations / times[rounds.MATRIX] / 1e9
    forward = forward_operations(build_model(hparams), hparams.data.image_size)
    # The backward pass costs twice the forward pass: gradients of activations and of weights.
    gflop = 3 * forward * hparams.training.global_batch_size / 1e9
    names = list(contenders)
    del contenders  # and the memory they hold
    rows = []
    for name in names:
        rows.append(
            {
                "variant": name,
                "seconds": times[name],
                "ours_relative": times[OURS] / times[name],
                "first_call_seconds": first[name],
                "peak_gib": peak_memory(hparams, name),
                "gflop": gflop,
                "matrix_gflops": matrix_gflops,
                "of_matrix_rate": gflop / times[name] / matrix_gflops,
            }
        )
    return rows


def peak_memory(hparams, variant):
    """Peak memory of three steps, in GiB, measured in a process of their own.

    None on a GPU, where TensorFlow takes most of the memory from the start.
    """
    if _on_gpu():
        return None
    print(f"peak memory: {variant}", file=sys.stderr)
    return rounds.in_own_process(_peak_memory, hparams, variant)


def _peak_memory(hparams, variant):
    one_step = step(hparams, variant)
    for _ in range(3):
        one_step()
    return rounds.peak_gib()


def pipeline(hparams, num_steps):
    """Measures how fast the input pipeline is alone, and how long training waits for it.

    Alone, it is timed from memory and from records on disk (just written, so still cached).

    Args:
        hparams: `prsr.hparams.Hparams`.
        num_steps: number of training steps.

    Returns:
        A dict: images per second of the pipeline alone from memory and from records, images per
        second of training, and the share of training time spent waiting for the next batch.
    """
    ours = trainer(hparams, OURS)
    batch_size, batches = hparams.training.global_batch_size, iter(ours.pairs())
    alone = _rate(batches, batch_size)
    ours.train_step(next(batches))
    waited, begin = 0.0, time.perf_counter()
    for _ in range(num_steps):
        ready = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - ready
        float(ours.train_step(batch)["joint"])
    spent = time.perf_counter() - begin
    return {
        "pipeline_images_per_second": alone,
        "records_images_per_second": _rate_of_records(hparams),
        "training_images_per_second": num_steps * batch_size / spent,
        "waiting_share": waited / spent,
    }


def _rate(batches, batch_size):
    """Images per second from an iterator of batches."""

    def take():
        for _ in range(_PIPELINE_BATCHES):
            next(batches)

    take()  # warm-up, until the buffers are in a steady state
    return _PIPELINE_BATCHES * batch_size / rounds.seconds(take)


def _rate_of_records(hparams):
    with tempfile.TemporaryDirectory() as folder:
        pool = image_set(hparams, 8192).images
        records.write(pathlib.Path(folder) / "train-00000.tfrecord", pool)
        stored = records.Records(folder, "train", hparams.model.channels)
        batch_size = hparams.training.global_batch_size
        pairs = training_pairs(stored, hparams.data, hparams.model.scale, batch_size, seed=1)
        return _rate(iter(pairs), batch_size)
