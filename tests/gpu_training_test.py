"""experiments/gpu_training.py on JAX takes the steps of `prsr.train` on TensorFlow."""

import importlib.util

import keras
import numpy as np
import pytest

from prsr.training.trainer import Trainer
from prsr.workdir.directory import Workdir
from tests.conftest import ROOT, python
from tests.data.pictures import load
from tests.training.trainer_test import hparams

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="needs jax")
STEPS = 50

# In a process of its own: Keras reads its backend once.
ON_JAX = """
import sys
sys.path.insert(0, "experiments")
import gpu_training
import numpy as np
from prsr.models.build import build_model
from prsr.workdir.directory import Workdir

folder = sys.argv[1]
given = np.load(f"{folder}/given.npz")
hparams = Workdir(folder).read_hparams()
model = build_model(hparams)
model.load_weights(f"{folder}/model.weights.h5")
step = gpu_training.Step(model, hparams.training, mirror=False)
chosen = np.arange(len(given["low_res"])).reshape(given["steps"], -1)
scores = step(given["low_res"], given["high_res"], chosen, np.zeros(chosen.shape, bool))
arrays = {f"weights {i}": x for i, x in enumerate(step.state["weights"])}
arrays |= {f"statistics {i}": x for i, x in enumerate(step.state["statistics"])}
arrays |= {f"average {i}": x for i, x in enumerate(step.averaged(given["low_res"])["weights"])}
np.savez(f"{folder}/found.npz", **arrays, **scores)
"""


def test_fifty_steps_on_jax_equal_the_trainer_s(tmp_path):
    """Losses agree to 1e-4; weights, average and statistics to 1% of their change."""
    settings = hparams(ema=0.9, learning_rate=1e-3, fall_steps=20, train_steps=60)
    trainer = Trainer(settings, load(settings.data))
    run, model = Workdir(tmp_path), trainer.model
    run.write_hparams(settings)
    run.save_weights(model)
    start = [v.numpy() for v in model.trainable_variables]
    batches = [batch for batch, _ in zip(trainer.batches(), range(STEPS))]
    low_res, high_res = (np.concatenate([np.asarray(x) for x in xs]) for xs in zip(*batches))
    np.savez(tmp_path / "given.npz", low_res=low_res, high_res=high_res, steps=STEPS)
    expected = [trainer.train_step(batch) for batch in batches]

    python("-c", ON_JAX, tmp_path, KERAS_BACKEND="jax")
    found = np.load(tmp_path / "found.npz")
    for name in ("joint", "conditioning", "prior"):
        np.testing.assert_allclose(found[name], [s[name] for s in expected], rtol=1e-4)
    moved = max(np.abs(v.numpy() - a).max() for v, a in zip(model.trainable_variables, start))
    assert moved > 0.005
    with trainer.evaluation_weights():
        average = [v.numpy() for v in model.trainable_variables]
    kinds = {
        "weights": [v.numpy() for v in model.trainable_variables],
        "average": average,
        "statistics": [v.numpy() for v in model.non_trainable_variables if "moving" in v.path],
    }
    for kind, arrays in kinds.items():
        for i, array in enumerate(arrays):
            np.testing.assert_allclose(
                found[f"{kind} {i}"], array, atol=0.01 * moved, rtol=1e-3, err_msg=f"{kind} {i}"
            )


def test_a_run_on_jax_is_resumed_and_records_its_history(prepared, tiny_run, tmp_path):
    """Stopped at half its steps and resumed, the command leaves nearly the uninterrupted run."""
    script, runs = ROOT / "experiments" / "gpu_training.py", [tmp_path / "one", tmp_path / "two"]
    options = [
        f"--initial_weights={tiny_run}", f"--dataset=records:{prepared}", "--global_batch_size=4",
        "--steps_per_program=4", "--eval_every=4", "--eval_images=8", "--learning_rate=1e-3",
        "--ema=0.9",
    ]  # fmt: skip
    for run, steps in ((runs[0], 8), (runs[1], 4), (runs[1], 8)):
        flags = [f"--workdir={run}", f"--train_steps={steps}"]
        python(script, *options, *flags, KERAS_BACKEND="jax")
    (_, one), (_, two) = (Workdir(run).load_model() for run in runs)
    (_, before) = Workdir(tiny_run).load_model()
    trios = zip(one.trainable_variables, two.trainable_variables, before.trainable_variables)
    moved = max(np.abs(a.numpy() - c.numpy()).max() for a, _, c in trios)
    assert moved > 0
    for a, b in zip(one.trainable_variables, two.trainable_variables):
        np.testing.assert_allclose(a, b, atol=0.05 * moved)
    first, second = Workdir(runs[1]).read_history()
    assert first["program"] == "prsr.train" and first["steps"] == 6
    assert second["backend"] == "jax" and second["steps"] == 8 and second["images"] == 32
    assert all(path.stat().st_size <= 16 * 2**20 for path in (runs[1] / "state").iterdir())
    records = Workdir(runs[1]).read_metrics()
    assert [r["step"] for r in records if "validation/nats_per_image" in r] == [4, 8]
    assert keras.backend.backend() == "tensorflow"
