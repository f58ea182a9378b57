"""Settings to models, or words."""

import dataclasses

import pytest

from prsr.errors import UserError
from prsr.hparams import Hparams
from prsr.models.build import build_model


@pytest.mark.parametrize(
    ("section", "name", "value", "word"),
    [
        ("data", "image_size", 30, "multiple of scale"),
        ("data", "image_size", 0, "multiple of scale"),
        ("model", "channels", 2, "channels"),
        ("model", "scale", 3, "power of two"),
        ("model", "prior_width", 2, "width"),
        ("model", "prior_layers", 0, "gated layer"),
        ("model", "blocks_per_stage", -1, "blocks_per_stage"),
    ],
)
def test_models_that_do_not_exist(section, name, value, word):
    hparams = Hparams()
    part = dataclasses.replace(getattr(hparams, section), **{name: value})
    with pytest.raises(UserError, match=word):
        build_model(dataclasses.replace(hparams, **{section: part}))
