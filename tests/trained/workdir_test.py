"""A run directory's settings and weights, read again."""

import json
import shutil

import pytest

from prsr.errors import UserError
from prsr.hparams import DataHparams, Hparams, ModelHparams
from prsr.models.build import build_model
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


def test_what_comes_after_a_checkpoint_is_forgotten(tmp_path):
    """And a line that was only half written when the run was killed."""
    workdir = Workdir(tmp_path)
    assert workdir.read_metrics() == []
    for step in (1, 2, 2, 3):
        workdir.append_metrics({"step": step})
    with open(workdir.metrics, "a") as file:
        file.write('{"step": 1, "tra')
    workdir.forget_metrics_after(2)
    assert workdir.read_metrics() == [{"step": 1}, {"step": 2}, {"step": 2}]


def test_weights_are_not_begun_without_room(tmp_path, monkeypatch):
    hparams = Hparams(ModelHparams("regression", 1, 1, 0, 1), DataHparams(image_size=2))
    model, workdir = build_model(hparams), Workdir(tmp_path)
    workdir.save_weights(model)
    kept = workdir.weights.read_bytes()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(OSError, match="bytes free for model.weights.h5"):
        workdir.save_weights(model)
    assert workdir.weights.read_bytes() == kept
