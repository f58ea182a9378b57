"""Trains the models of `prsr.models` on Keras' JAX backend, for a GPU without TensorFlow.

    python experiments/gpu_training.py --initial_weights=faces --dataset=records:celeba_records \
        --workdir=runs/faces_gpu --train_steps=60000 --fall_steps=60000

The step is that of `prsr.train`: the same models, loss and optimizer (equation 8, Table 2's
RMSProp), mirrored images, a moving average of the weights. All images stay on the device as uint8,
and one compiled program takes many steps. `--workdir` becomes a run directory, which every command
of prsr reads; model.weights.h5 is the moving average.

The same command resumes: weights, average, batch statistics and RMSProp's slots are saved in
WORKDIR/state, and the order of the images follows from the seed and the step. RMSProp's slots are
saved in bfloat16, to stay below 60 MiB, so a resumed run is close to an uninterrupted one, not
identical.

`--precision` is that of products: `float32`, `tensorfloat32` (its results, and all else, stay in
float32), or `bfloat16` (likewise). Needs jax, keras, h5py and pillow; no TensorFlow.
"""

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import time

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("XLA_FLAGS", "--xla_gpu_autotune_level=1")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import keras  # noqa: E402
import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402

from prsr import plotting  # noqa: E402
from prsr.hparams import DataHparams, Hparams, ModelHparams, TrainingHparams  # noqa: E402
from prsr.models.build import build_model  # noqa: E402
from prsr.sampling.projection import reduction_matrix  # noqa: E402
from prsr.system import files  # noqa: E402
from prsr.training import optimizers  # noqa: E402
from prsr.workdir import history, initial  # noqa: E402
from prsr.workdir.directory import Workdir  # noqa: E402

BATCH = 64  # images per batch of scoring and statistics
STATISTICS_IMAGES = 1024  # for batch normalisation, whenever the average is scored or saved
PIECE = 15 * 2**20  # bytes of one file of the state


# Images ------------------------------------------------------------------------------------


def read_records(folder, split, size, channels, count=None):
    """Reads the first images of a split from records, without TensorFlow.

    Returns:
        `[count, size, size, channels]` uint8.
    """
    length = size * size * channels
    frame = np.dtype([("head", "V12"), ("image", np.uint8, (size, size, channels)), ("tail", "V4")])
    paths = sorted(pathlib.Path(folder).glob(f"{split}-*.tfrecord"))
    if not paths:
        raise SystemExit(f"error: '{folder}' has no {split} records")
    parts = []
    for path in paths:
        content = np.fromfile(path, frame)
        if path.stat().st_size != len(content) * (length + 16):
            raise SystemExit(f"error: '{path}' does not hold {size}x{size} images")
        parts.append(content["image"])
    return np.concatenate(parts)[:count]


def reduce(high_res, scale):
    """Makes the inputs: `prsr.images.downsample` by its matrix, rounded and clipped to uint8."""
    matrix = reduction_matrix(high_res.shape[1], scale)
    parts = [
        np.einsum("rh,bhwc,sw->brsc", matrix, high_res[i : i + 512], matrix, optimize=True)
        for i in range(0, len(high_res), 512)
    ]
    return np.clip(np.round(np.concatenate(parts)), 0, 255).astype(np.uint8)


def order(count, seed, batch, first_step, steps):
    """Returns the images of some steps, and which of them to mirror: functions of (seed, step).

    Returns:
        int32 `[steps, batch]` in 0..count - 1, and bool `[steps, batch]`.
    """
    positions = np.arange(first_step * batch, (first_step + steps) * batch)
    epochs = positions // count
    chosen = np.empty(len(positions), np.int32)
    for epoch in np.unique(epochs):
        permutation = np.random.default_rng([seed, epoch]).permutation(count)
        chosen[epochs == epoch] = permutation[positions[epochs == epoch] % count]
    mirrored = [
        np.random.default_rng([seed, step, 1]).random(batch) < 0.5
        for step in range(first_step, first_step + steps)
    ]
    return chosen.reshape(steps, batch), np.array(mirrored)


# The step ----------------------------------------------------------------------------------


class Step:
    """Many training steps as one JAX program.

    Args:
        model: a built `prsr.models` model.
        training: `prsr.hparams.TrainingHparams`.
        mirror: whether images may be mirrored.

    Attributes:
        state: dict of lists of arrays: `weights`, `statistics` (of batch normalisation),
            `optimizer` (its variables in order).
    """

    def __init__(self, model, training, mirror):
        self.model, self.training, self.mirror = model, training, mirror
        self.optimizer = optimizers.from_hparams(training)
        self.optimizer.build(model.trainable_variables)
        self.variables = {
            "weights": model.trainable_variables,
            "statistics": model.non_trainable_variables,
            "optimizer": self.optimizer.variables,
        }
        self.reset()
        self.run = jax.jit(self._run, donate_argnums=0)
        self.score = jax.jit(self._score)

    def reset(self):
        """Makes the Keras variables the state."""
        self.state = {k: [jnp.copy(v.value) for v in vs] for k, vs in self.variables.items()}

    def __call__(self, low_res, high_res, chosen, mirrored):
        """Takes a step for each row of `chosen`.

        Args:
            low_res, high_res: all images, uint8, on the device.
            chosen, mirrored: as `order` returns them.

        Returns:
            A dict of `[steps]` arrays: the model's `scores` before each step, averaged over images.
        """
        self.state, scores = self.run(self.state, low_res, high_res, chosen, mirrored)
        return {name: np.asarray(values) for name, values in scores.items()}

    def _scope(self, state):
        pairs = [(v, x) for k, vs in self.variables.items() for v, x in zip(vs, state[k])]
        return keras.StatelessScope(state_mapping=pairs)

    def _run(self, state, low_res, high_res, chosen, mirrored):
        def step(state, now):
            chosen, mirrored = now
            flip = mirrored[:, None, None, None]
            low, high = (
                jnp.where(flip, x[:, :, ::-1], x) if self.mirror else x
                for x in (low_res[chosen], high_res[chosen])
            )
            return self._step(state, low, high)

        return jax.lax.scan(step, state, (chosen, mirrored))

    def _step(self, state, low_res, high_res):
        def loss(weights):
            with self._scope({**state, "weights": weights}) as scope:
                scores = self.model.scores(low_res, high_res, training=True)
                objective = self.model.objective(scores, self.training.conditioning_weight)
            statistics = [_value(scope, v) for v in self.variables["statistics"]]
            return jnp.mean(objective), (statistics, _means(scores))

        gradients, (statistics, scores) = jax.grad(loss, has_aux=True)(state["weights"])
        if self.training.clip_norm:
            norm = jnp.sqrt(sum(jnp.sum(g**2) for g in gradients))
            factor = jnp.minimum(1.0, self.training.clip_norm / norm)
            gradients = [g * factor for g in gradients]
        with self._scope({**state, "statistics": statistics}) as scope:
            self.optimizer.apply(gradients, self.variables["weights"])
        new = {k: [_value(scope, v) for v in vs] for k, vs in self.variables.items()}
        return {**new, "statistics": statistics}, scores

    def _score(self, state, low_res, high_res):
        with self._scope(state):
            return _means(self.model.scores(low_res, high_res))

    def averaged(self, low_res):
        """Returns a state to score and save: the moving average, with statistics of its own.

        Args:
            low_res: images for batch normalisation's statistics.
        """
        state = dict(self.state)
        if self.training.ema:
            pairs = zip(self.optimizer.variables, state["optimizer"])
            state["weights"] = [x for variable, x in pairs if variable.name.endswith("_average")]
        self.assign(state)
        batches = [low_res[i : i + BATCH] for i in range(0, len(low_res), BATCH)]
        self.model.recalibrate_batch_norm(batches)
        state["statistics"] = [v.value for v in self.variables["statistics"]]
        return state

    def assign(self, state):
        """Writes a state into the Keras model."""
        for name in ("weights", "statistics"):
            for variable, value in zip(self.variables[name], state[name]):
                variable.assign(value)

    def evaluate(self, state, low_res, high_res):
        """Returns the mean scores of some images under a state, as a dict."""
        totals = collections.Counter()
        for i in range(0, len(low_res), BATCH):
            low, high = low_res[i : i + BATCH], high_res[i : i + BATCH]
            for name, mean in self.score(state, low, high).items():
                totals[name] += len(low) * float(mean)
        return {name: total / len(low_res) for name, total in totals.items()}


def _value(scope, variable):
    value = scope.get_current_value(variable)
    return variable.value if value is None else value


def _means(scores):
    return {name: jnp.mean(score) for name, score in scores.items()}


# What is saved -----------------------------------------------------------------------------


def save_state(folder, step, done):
    """Writes the state after `done` steps in pieces of 15 MiB, RMSProp's slots in bfloat16."""
    content, dtypes = bytearray(), {}
    for name, variables in step.variables.items():
        for number, (variable, value) in enumerate(zip(variables, step.state[name])):
            array = np.asarray(value)
            if variable.name.endswith(("_velocity", "_momentum")):
                array = array.astype(ml_dtypes.bfloat16)
            dtypes[f"{name} {number}"] = str(array.dtype)
            content += array.tobytes()
    about = {"step": done, "bytes": len(content), "dtypes": dtypes}
    with files.replacing(folder) as partial:
        shutil.rmtree(folder, ignore_errors=True)
        partial.mkdir(parents=True)
        for number, start in enumerate(range(0, len(content), PIECE)):
            (partial / f"piece-{number}.bin").write_bytes(content[start : start + PIECE])
        (partial / "state.json").write_text(json.dumps(about), encoding="utf-8")


def load_state(folder, step):
    """Reads what `save_state` wrote into a `Step`; returns the number of steps taken."""
    about = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    pieces = sorted(folder.glob("piece-*.bin"), key=lambda path: int(path.stem[6:]))
    content, start = b"".join(path.read_bytes() for path in pieces), 0
    if len(content) != about["bytes"]:
        raise SystemExit(f"error: '{folder}' is incomplete; delete it to begin again")
    for name, arrays in step.state.items():
        for number, array in enumerate(arrays):
            dtype = jnp.dtype(about["dtypes"][f"{name} {number}"])
            values = np.frombuffer(content, dtype, array.size, start).reshape(array.shape)
            start += values.nbytes
            arrays[number] = jnp.asarray(values.astype(array.dtype))
    return about["step"]


# The training ------------------------------------------------------------------------------


def settings(args, folder):
    """Returns the `Hparams` of the run: the initial model's sizes, and what the arguments say."""
    made = json.loads((folder / "records.json").read_text(encoding="utf-8"))["settings"]
    sizes = initial.model_settings(args.initial_weights)
    if args.blocks_per_stage:
        sizes = {**sizes, "blocks_per_stage": args.blocks_per_stage}
    names = {field.name for field in dataclasses.fields(TrainingHparams)} & vars(args).keys()
    hparams = Hparams(
        ModelHparams(**sizes),
        DataHparams(args.dataset, made["image_size"], made["crop"], mirror=True),
        TrainingHparams(rms_start=initial.RMS_START, **{n: getattr(args, n) for n in names}),
    )
    hparams.check()
    return hparams


def main():
    args = _arguments()
    if args.precision != "float32":
        jax.config.update("jax_default_matmul_precision", args.precision)
    folder = pathlib.Path(args.dataset.removeprefix("records:"))
    hparams = settings(args, folder)
    training, channels = hparams.training, hparams.model.channels
    keras.utils.set_random_seed(training.seed)
    model = build_model(hparams)
    run, state = Workdir(args.workdir), pathlib.Path(args.workdir) / "state"
    step, first = Step(model, training, hparams.data.mirror), 0
    if state.exists():
        first = load_state(state, step)
        print(f"resuming from step {first:,}", flush=True)
        parts = run.read_history()
    else:
        initial.load(args.initial_weights, model)
        step.reset()
        parts = initial.history(args.initial_weights)
    run.path.mkdir(parents=True, exist_ok=True)

    def read(split, count=None):
        high_res = read_records(folder, split, hparams.data.image_size, channels, count)
        return jnp.asarray(reduce(high_res, hparams.model.scale)), jnp.asarray(high_res)

    images, validation = read("train"), read("validation", args.eval_images)
    print(f"{model.count_params():,} weights, {len(images[0]):,} training images", flush=True)
    shape = images[1].shape[1:]
    done, begin = first, time.monotonic()
    while done < training.train_steps:
        steps = min(args.steps_per_program, training.train_steps - done)
        now = order(len(images[0]), training.seed, training.global_batch_size, done, steps)
        means = {name: float(np.mean(values)) for name, values in step(*images, *now).items()}
        done += steps
        rate = (done - first) / (time.monotonic() - begin)
        scores = model.readable(means, shape)
        record = {f"train/{name}": value for name, value in scores.items()}
        print(
            f"step {done:,} of {training.train_steps:,}: {_line(scores)}; {rate:.3g} steps/s, "
            f"{(training.train_steps - done) / rate:,.0f} s left",
            flush=True,
        )
        if done % args.eval_every < steps or done == training.train_steps:
            averaged = step.averaged(images[0][:STATISTICS_IMAGES])
            scores = model.readable(step.evaluate(averaged, *validation), shape)
            record |= {f"validation/{name}": value for name, value in scores.items()}
            print(f"validation on {len(validation[0]):,} images: {_line(scores)}", flush=True)
            run.save_weights(model)
            save_state(state, step, done)
            named = (
                "experiments/gpu_training.py",
                f"{args.precision} ({jax.devices()[0].device_kind})",
            )
            run.write_hparams(hparams, history.extended(parts, hparams, *named, first, done))
        run.append_metrics({"step": done, **record})
    with contextlib.suppress(ImportError):  # matplotlib need not be there
        plotting.curves(run.read_metrics(), run.curves)


def _line(scores):
    return ", ".join(f"{name} {value:.4f}" for name, value in scores.items())


def _arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--initial_weights", required=True, help="run directory or bundled model to start from")
    add("--dataset", required=True, help="records:DIR, from prsr.prepare")
    add("--workdir", required=True, help="run directory to write, or to resume")
    add("--train_steps", type=int, required=True, help="steps in all")
    add("--blocks_per_stage", type=int, help="Table 2's B, if not the initial model's")
    add("--global_batch_size", type=int, default=64, help="images per step")
    add("--learning_rate", type=float, default=4e-4, help="initial learning rate")
    add("--fall_steps", type=int, default=0, help="last steps, over which the rate falls to zero")
    add("--ema", type=float, default=0.9995, help="decay of the weights' moving average")
    add("--clip_norm", type=float, default=0.0, help="largest norm of the gradient; 0: no limit")
    add("--seed", type=int, default=1, help="seed of the order and of fresh weights")
    add("--precision", default="float32", choices=("float32", "tensorfloat32", "bfloat16"))
    add("--steps_per_program", type=int, default=250, help="steps between lines")
    add("--eval_every", type=int, default=2500, help="steps between validations and saves")
    add("--eval_images", type=int, default=512, help="images per validation")
    return parser.parse_args()


if __name__ == "__main__":
    main()
