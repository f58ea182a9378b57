"""Settings to models, or words."""

import dataclasses

import pytest

from prsr.hparams import Hparams, ModelHparams
from prsr.models.build import build_model
from prsr.models.pixel_independent import PixelIndependent
from prsr.models.pixel_recursive import PixelRecursiveSuperResolution
from prsr.models.regression import RegressionNetwork
from prsr.system.errors import UserError


@pytest.mark.parametrize(
    ("section", "name", "value", "word"),
    [
        ("data", "image_size", 30, "multiple of scale"),
        ("data", "image_size", 0, "multiple of scale"),
        ("model", "prior_width", 2, "width"),
    ],
)
def test_impossible_sizes_are_refused(section, name, value, word):
    hparams = Hparams()
    part = dataclasses.replace(getattr(hparams, section), **{name: value})
    with pytest.raises(UserError, match=word):
        build_model(dataclasses.replace(hparams, **{section: part}))


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("pixel_recursive", PixelRecursiveSuperResolution),
        ("cross_entropy", PixelIndependent),
        ("regression", RegressionNetwork),
    ],
)
def test_each_architecture_has_its_model_with_weights_of_these_sizes(architecture, kind):
    sizes = {"blocks_per_stage": 1, "conditioning_width": 4, "prior_width": 6, "prior_hidden": 6}
    model = build_model(Hparams(ModelHparams(architecture, prior_layers=1, **sizes)))
    assert type(model) is kind and model.count_params() > 0
    conditioning = getattr(model, "conditioning", model)
    assert conditioning.stem.kernel.shape == (1, 1, 3, 4)
    assert [len(blocks) for blocks in conditioning.stages] == [1, 1, 1]


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32():
    hparams = Hparams(ModelHparams("cross_entropy", blocks_per_stage=0, conditioning_width=4))
    model = build_model(hparams, "mixed_bfloat16")
    assert model.compute_dtype == "bfloat16"
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
