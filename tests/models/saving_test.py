"""Keras' etiquette: configurations, files, clones, summaries."""

import json

import keras
import numpy as np
import pytest

from prsr.models import (
    ConditioningNetwork,
    GatedPixelCNN,
    PixelIndependent,
    PixelRecursiveSuperResolution,
    RegressionNetwork,
    RMSProp,
    layers,
)
from tests.conftest import python
from tests.models.pixel_recursive_test import SMALL

COMMON = {"channels": 1, "scale": 2, "blocks_per_stage": 2, "normalization": "none"}
TRUNK = {**COMMON, "width": 4}
PRIOR = {"prior_width": 5, "prior_layers": 2, "prior_hidden": 7}
SIZES = {
    PixelRecursiveSuperResolution: {**COMMON, "conditioning_width": 4, **PRIOR},
    ConditioningNetwork: TRUNK,
    PixelIndependent: TRUNK,
    RegressionNetwork: TRUNK,
    GatedPixelCNN: {"channels": 1, "width": 5, "num_layers": 2, "hidden": 7},
    layers.VerticalConv: {"features": 4, "size": 5},
    layers.HorizontalConv: {
        "in_groups": (0, 1),
        "out_groups": (0, 0, 1),
        "size": 5,
        "mask_type": "A",
    },
    layers.GatedLayer: {"features": 6, "channels": 3, "size": 7},
    layers.ResidualBlock: {"features": 4, "normalization": "none"},
}


@pytest.mark.parametrize("kind", SIZES, ids=lambda kind: kind.__name__)
def test_a_configuration_is_the_constructor_s_arguments(kind):
    config = kind(**SIZES[kind], name="mine", dtype="mixed_bfloat16").get_config()
    assert config["name"] == "mine" and config.items() >= SIZES[kind].items()
    json.dumps(config)
    again = kind.from_config(config)
    assert again.get_config() == config and again.compute_dtype == "bfloat16"
    assert keras.saving.get_registered_name(kind) == f"prsr>{kind.__name__}"


def images(count=2):
    random = np.random.default_rng(0)
    low_res = random.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return low_res, random.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


def trained(kind, **sizes):
    keras.utils.set_random_seed(1)
    model = kind(**sizes)
    model.compile(optimizer=RMSProp(), run_eagerly=True)
    model.fit(*images(), epochs=2, verbose=0)
    return model


def small():
    return trained(PixelRecursiveSuperResolution, **SMALL)


MODELS = {
    "pixel_recursive": small,
    "cross_entropy": lambda: trained(PixelIndependent, blocks_per_stage=1, width=4),
    "regression": lambda: trained(RegressionNetwork, blocks_per_stage=1, width=4),
}

LOAD = """
import sys
import keras
import numpy as np
import prsr.models

for name in sys.argv[1:]:
    model = keras.saving.load_model(f"{name}.keras", safe_mode=True)
    scores = model.scores(*np.load("images.npz").values())
    np.savez(f"{name}.npz", *scores.values(), *(variable.numpy() for variable in model.variables))
    assert int(model.optimizer.iterations) == 2 and model.optimizer.rms_start == 1
"""


def test_a_file_loads_where_only_the_models_are_imported(tmp_path):
    """The model is the same bit for bit, with its optimizer, and loads in safe mode."""
    np.savez(tmp_path / "images.npz", *images())
    expected = {}
    for name, make in MODELS.items():
        model = make()
        model.save(tmp_path / f"{name}.keras")
        expected[name] = [*model.scores(*images()).values(), *model.variables]
    python("-c", LOAD, *MODELS, cwd=tmp_path)
    for name, arrays in expected.items():
        actual = np.load(tmp_path / f"{name}.npz").values()
        for one, other in zip(arrays, actual, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_clone_is_built_and_has_its_own_weights():
    model = small()
    clone = keras.models.clone_model(model)
    assert [v.shape for v in clone.variables] == [v.shape for v in model.variables]
    clone.set_weights(model.get_weights())
    for mine, theirs in zip(clone(images()), model(images())):
        np.testing.assert_array_equal(mine, theirs)
    clone.set_weights([np.zeros_like(value) for value in model.get_weights()])
    assert np.any(model.get_weights()[0])


def test_a_summary_has_a_shape_for_every_layer():
    model = PixelRecursiveSuperResolution(
        blocks_per_stage=1, prior_width=6, prior_layers=1, prior_hidden=9
    )
    model.build((None, 8, 8, 3))
    lines = []
    model.summary(expand_nested=True, print_fn=lines.append, line_length=120)
    text = "\n".join(lines)
    assert "?" not in text
    for shape in ("32, 32, 3, 256", "16, 16, 32", "32, 32, 9"):
        assert f"(None, {shape})" in text
