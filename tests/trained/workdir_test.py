"""A run directory's settings and weights, read again."""

import json
import shutil

import pytest

from prsr.errors import UserError
from prsr.trained.workdir import Workdir
from tests.conftest import assert_one_line, call


def test_weights_of_another_model(tiny_run, tmp_path):
    settings = json.loads((tiny_run / "settings.json").read_text())
    settings["hparams"]["model"]["prior_width"] = 9
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert_one_line(
        call("sample", f"--workdir={tmp_path}", f"--output={tmp_path / 'o'}"), "no weights yet"
    )
    (tmp_path / "model.weights.h5").write_bytes((tiny_run / "model.weights.h5").read_bytes())
    assert_one_line(
        call("sample", f"--workdir={tmp_path}", f"--output={tmp_path / 'o'}"), "model.weights.h5"
    )


def test_weights_of_a_deeper_model_are_refused(tiny_run, tmp_path):
    """Keras itself would load what it has a place for."""
    settings = json.loads((tiny_run / "settings.json").read_text())
    settings["hparams"]["model"]["blocks_per_stage"] = 0
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    (tmp_path / "model.weights.h5").write_bytes((tiny_run / "model.weights.h5").read_bytes())
    with pytest.raises(UserError, match="arrays for"):
        Workdir(tmp_path).load_model()


def test_settings_that_cannot_be_read(tiny_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    wrong_type = (tiny_run / "settings.json").read_text().replace(": 4,", ': "4",', 1)
    for text in ("{", "[]", '{"hparams": {"model": {"wdith": 3}}}', wrong_type):
        (copy / "settings.json").write_text(text)
        with pytest.raises(UserError, match="settings.json"):
            Workdir(copy).read_hparams()
    assert_one_line(call("train", f"--workdir={copy}"), "settings.json")
    assert (copy / "settings.json").read_text() == text
