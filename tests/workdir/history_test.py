"""The history of a training counts every step once."""

import dataclasses

from prsr.hparams import Hparams
from prsr.workdir import history


def settings(**training):
    hparams = Hparams()
    return dataclasses.replace(hparams, training=dataclasses.replace(hparams.training, **training))


def test_steps_of_one_setting_are_one_part():
    """Saving twice, or resuming with the same settings, extends the last part."""
    hparams = settings(global_batch_size=4)
    parts = history.extended([], hparams, "prsr.train", "float32", 0, 10)
    parts = history.extended(parts, hparams, "prsr.train", "float32", 0, 30)
    parts = history.extended(parts, hparams, "prsr.train", "float32", 30, 50)
    (part,) = parts
    assert (part["first_step"], part["steps"], part["images"]) == (0, 50, 200)
    # Steps after the checkpoint that was resumed from were lost, and are not counted twice.
    (part,) = history.extended(parts, hparams, "prsr.train", "float32", 40, 45)
    assert part["steps"] == 45


def test_other_settings_or_another_program_begin_a_part():
    """Images add up over parts of different batch sizes."""
    parts = history.extended([], settings(global_batch_size=4), "prsr.train", "float32", 0, 10)
    larger = settings(global_batch_size=64)
    parts = history.extended(parts, larger, "gpu_training", "tensorfloat32", 0, 5)
    parts = history.extended(parts, larger, "gpu_training", "tensorfloat32", 5, 5)  # nothing yet
    parts = history.extended(parts, settings(learning_rate=1e-4), "gpu_training", "float32", 5, 7)
    assert [part["steps"] for part in parts] == [10, 5, 2]
    assert sum(part["images"] for part in parts) == 10 * 4 + 5 * 64 + 2 * 32
