"""Which processes are timed, and what is made of their times."""

import json
import pathlib
import time

import pytest

from benchmarks import cold
from prsr.workdir.directory import Workdir
from tests.benchmarks.suite_test import HPARAMS


def test_medians_of_processes_in_turns(monkeypatch):
    asked = []
    calls = iter([[[5.0, 1.0, 2.0, 3.0]], [[7.0, 2.0, 2.0, 2.0]], [[6.0, 9.0, 9.0, 9.0]]])

    def run(arguments):
        asked.append(arguments)
        if "prsr.sample" in arguments:
            path = next(a for a in arguments if a.startswith("--workdir=")).split("=", 1)[1]
            assert Workdir(path).load_model()[0] == HPARAMS
            out = pathlib.Path(next(a for a in arguments if "--output=" in a).split("=", 1)[1])
            out.mkdir(exist_ok=True)
            (out / "grid.png").touch()
            time.sleep(0.1)  # the likelihoods
        return json.dumps([0.5, next(calls)]) if cold._LOADS in arguments else ""

    monkeypatch.setattr(cold, "_run", run)
    results = cold.compare(HPARAMS, [8], 3)
    assert [arguments[1] == "import tensorflow" for arguments in asked] == [True, False, False] * 3
    assert all("prsr.sample" in arguments for arguments in asked[1::3])
    assert results["load"] == 0.5
    assert results["calls"] == [{"batch": 8, "first": 6.0, "later": 2.0}]
    assert 0 < results["import"] < results["picture"]  # for which the model is read here
    assert results["picture"] < results["command"] - 0.05


@pytest.mark.slow
def test_real_processes():
    results = cold.compare(HPARAMS, [1, 2], 1)
    assert 0.5 < results["import"] < results["picture"] < results["command"]
    assert [call["batch"] for call in results["calls"]] == [1, 2]
    assert all(call["first"] > call["later"] > 0 for call in results["calls"])
