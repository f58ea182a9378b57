"""How long a cold start takes, in real processes."""

import pytest

from benchmarks import cold
from tests.benchmarks.training_test import HPARAMS


@pytest.mark.slow
def test_real_processes():
    results = cold.compare(HPARAMS, [1, 2], 1)
    assert 0.5 < results["import"] < results["picture"] < results["command"]
    assert [call["batch"] for call in results["calls"]] == [1, 2]
    assert all(call["first"] > call["later"] > 0 for call in results["calls"])
