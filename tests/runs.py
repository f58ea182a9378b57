"""What the tests of training ask of a run directory."""

import contextlib
import pathlib
import time

import numpy as np
import tensorflow as tf

from prsr.data import pipeline, records
from prsr.hparams import DataHparams
from prsr.system import files
from prsr.workdir.directory import Workdir
from tests.data.pictures import load


def weights(workdir):
    """Everything that training goes on from: weights, statistics, slots, step."""
    indices = (workdir / "checkpoints").glob("ckpt-*.index")
    newest = max(indices, key=lambda index: int(index.stem[5:]))
    with files.without_wildcards(newest.parent) as folder:
        reader = tf.train.load_checkpoint(str(folder / newest.stem))
        keys = sorted(reader.get_variable_to_shape_map())
        # How many checkpoints were written is no part of it.
        keys = [key for key in keys if key.startswith(("model/", "optim"))]
        result = {key: reader.get_tensor(key) for key in keys}
    _, model = Workdir(workdir).load_model()
    return {**result, **{i: v.numpy() for i, v in enumerate(model.variables)}}


def assert_same_weights(one, other):
    expected, actual = weights(one), weights(other)
    assert expected.keys() == actual.keys() and len(expected) > 100
    for key, value in expected.items():
        np.testing.assert_array_equal(actual[key], value, err_msg=key)


def write_damaged_records(folder, position):
    """Writes records of drawn letters, one damaged; returns its file and the undamaged content.

    Args:
        position: place, in the order of training with seed 1, of the image that is damaged.
    """
    image_set = load(DataHparams("drawn:200", 8))
    for split in ("train", "validation"):
        records.write(folder / f"{split}-00000.tfrecord", image_set.images)
    file = folder / "train-00000.tfrecord"
    whole = file.read_bytes()
    damaged = bytearray(whole)
    bad = int(pipeline.shuffled(np.int64([position]), len(image_set), seed=1)[0])
    damaged[bad * (8 * 8 * 3 + 16) + 100] ^= 4
    file.write_bytes(damaged)
    return file, whole


def steps_logged(workdir):
    metrics = Workdir(workdir).read_metrics()
    return [record["step"] for record in metrics if "train/nats_per_image" in record]


def summaries(workdir):
    """The `(step, wall time)` of every tag in the TensorBoard files, in their order."""
    tags = {}
    for path in sorted((workdir / "logs").iterdir()):
        found = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        with contextlib.suppress(tf.errors.DataLossError):  # the disk ended in the last record
            for record in found:
                event = tf.compat.v1.Event.FromString(record)
                for value in event.summary.value:
                    tags.setdefault(value.tag, []).append((event.step, event.wall_time))
    return tags


def has_loaded(process, library):
    """Whether a process has loaded a library, whose file's name has this part."""
    return library in pathlib.Path(f"/proc/{process.pid}/maps").read_text()


def wait_for(condition, process=None, seconds=300):
    """Waits until a condition is met; fails when a process ends before, or time is up."""
    end = time.monotonic() + seconds
    while not condition():
        assert not process or process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def wait_for_step(workdir, step, process):
    """Waits until a training run has logged a step."""
    log = workdir / "metrics.jsonl"
    wait_for(lambda: log.exists() and f'"step": {step},' in log.read_text(), process)
