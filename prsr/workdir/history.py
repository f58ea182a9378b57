"""How a model was trained: a list of parts, which `settings.json` keeps under "history".

A part is what one program did with one set of numbers. Resuming with others begins a new part, and
a run that starts from another model's weights begins with that model's parts.
"""

from typing import Any

import keras

from prsr.hparams import Hparams
from prsr.system.version import __version__, commit

Part = dict[str, Any]


def extended(
    history: list[Part], hparams: Hparams, program: str, precision: str, first_step: int, step: int
) -> list[Part]:
    """Returns a history with the steps that a program, such as `"prsr.train"`, has taken.

    It started at `first_step` and is at `step`; `history` may end in its earlier steps. `precision`
    is that of products, such as `"float32"`.

    Returns:
        A new list. Each part has `first_step`, `steps`, `batch`, `images` (counted as often as they
        were seen), `learning_rate` (at its start), `halve_every`, `fall_steps`, `ema`, `precision`,
        `program`, `version`, `commit`, `backend` and `dataset`.
    """
    training = hparams.training
    part = {
        "program": program,
        "version": __version__,
        "commit": commit(),
        "backend": keras.backend.backend(),
        "precision": precision,
        "dataset": hparams.data.dataset,
        "batch": training.global_batch_size,
        "learning_rate": training.learning_rate,
        "halve_every": training.halve_every,
        "fall_steps": training.fall_steps,
        "ema": training.ema,
    }
    if history and history[-1].items() >= part.items() and _end_step(history[-1]) >= first_step:
        first_step = history[-1]["first_step"]
        history = history[:-1]
    steps = step - first_step
    counts = {"first_step": first_step, "steps": steps, "images": steps * part["batch"]}
    return [*history, {**part, **counts}] if steps else history


def _end_step(part):
    return part["first_step"] + part["steps"]
