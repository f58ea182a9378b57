"""Simulated workers."""

import numpy as np
import pytest

from prsr.pages.study import analysis, simulation, store
from prsr.pages.study.directory import Algorithm
from prsr.pages.study.protocol import Protocol
from prsr.system.errors import UserError
from tests.pages.study import studies


def test_rates_have_the_given_mean_and_deviation():
    rng = np.random.default_rng(0)
    ability = simulation.Ability({"a": 0.2, "b": 0.0}, 0.1)
    rates = [ability.rate("a", rng) for _ in range(50_000)]
    assert np.mean(rates) == pytest.approx(0.2, abs=0.003)
    assert np.std(rates) == pytest.approx(0.1, abs=0.002)
    assert ability.rate("b", rng) == 0.0


def test_fooled_shares_come_from_flags_or_the_paper():
    algorithms = [
        Algorithm("faces", "tau_1", "tau = 1", (11.0, 0.1)),
        Algorithm("rooms", "tau_1", "tau = 1", (17.7, 0.4)),
        Algorithm("rooms", "greedy", "greedy"),
    ]
    shares = simulation.fooled_shares(algorithms, ["rooms/tau_1=50", "greedy=2.5"], 0.05)
    assert shares == {"faces/tau_1": 0.11, "rooms/tau_1": 0.5, "rooms/greedy": 0.025}
    for given, spread, expected in (
        ([], 0.05, "no number for greedy"),
        (["greedy=x"], 0.05, "got 'greedy=x'"),
        (["greedy=101"], 0.05, "METHOD=PERCENT"),
        (["other=1"], 0.05, "got 'other=1'"),
        (["greedy=2.5"], 0.16, "spread must be below 15.6 percent where rooms/greedy"),
    ):
        with pytest.raises(UserError, match=expected):
            simulation.fooled_shares(algorithms, given, spread)


def test_simulated_workers_fill_a_study(tmp_path):
    protocol = Protocol(practice=1, pairs=10, golden=1, workers=8)
    study = studies.make(tmp_path / "study", protocol, images=20)
    keys = list(study.counts)
    ability = simulation.Ability({keys[0]: 0.0, keys[1]: 1.0}, 0.0, inattention=0.5)
    workers, answers = simulation.run(study, ability, seed=1)
    sessions = store.read(study)
    rows = analysis.summarize(sessions, study)["algorithms"]
    assert [row["kept"] for row in rows] == [8, 8]
    assert [row["fooled"]["mean"] for row in rows] == [0.0, 1.0]
    assert workers == 16 + sum(row["missed"] for row in rows) == len(sessions) > 16
    assert answers == 12 * workers
