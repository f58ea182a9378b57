"""Baselines by their names and run directories."""

import dataclasses
import json

import pytest

from prsr.evaluation import methods
from prsr.system.errors import UserError
from prsr.workdir.directory import Workdir


def test_baselines_that_do_not_fit(tiny_run, tmp_path, baseline_runs, monkeypatch):
    hparams = Workdir(tiny_run).read_hparams()

    def chosen(run_directory):
        return methods.baseline_methods([str(run_directory)], hparams, 1, 1)

    with pytest.raises(UserError, match="not a baseline"):
        chosen(tiny_run)
    settings = json.loads((baseline_runs / "regression" / "settings.json").read_text())
    settings["hparams"]["data"]["crop"] = "celeba"
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match="crop=celeba"):
        chosen(tmp_path)
    assert [method.key for method in chosen(baseline_runs / "regression")] == ["regression"]
    data = dataclasses.replace(hparams.data, root="-one/")
    other = dataclasses.replace(hparams, data=data)
    monkeypatch.setattr(Workdir, "check_images", lambda *_: (other, None))
    with pytest.raises(UserError, match="split 'drawn:60' differently"):
        chosen(baseline_runs / "regression")
