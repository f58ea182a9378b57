"""Synthetic workers against the real server, which is also killed among them."""

import concurrent.futures
import dataclasses
import os
import signal
import time

import numpy as np
import pytest

from prsr.pages.study import analysis, simulation, store
from prsr.pages.study.directory import Algorithm, DataSet, Study
from prsr.pages.study.protocol import Protocol
from prsr.system.errors import UserError
from tests.pages.study import studies


def test_rates_have_the_mean_and_deviation_that_were_asked_for():
    rates = simulation.draw_rates(0.2, 0.1, np.random.default_rng(0), 100_000)
    assert rates.mean() == pytest.approx(0.2, abs=0.002)
    assert rates.std() == pytest.approx(0.1, abs=0.002)
    assert simulation.draw_rates(0.3, 0.0, None) == 0.3
    assert simulation.draw_rates(0.0, 0.1, None) == 0.0


def test_the_expected_error():
    # Without spread the error of 40 workers x 40 answers is binomial: sqrt(p q / 1600).
    study = simulation.Ability({"k": 0.279}, spread=0.0)
    means, errors = simulation.expectation(study, "k", 40, 40, np.random.default_rng(0))
    binomial = np.sqrt(0.279 * 0.721 / 1600)
    assert errors.mean() == pytest.approx(binomial, rel=0.02)
    assert means.std() == pytest.approx(binomial, rel=0.05)


def test_whose_abilities():
    algorithms = [
        Algorithm("faces", "tau_1", "tau = 1", (11.0, 0.1)),
        Algorithm("rooms", "tau_1", "tau = 1", (17.7, 0.4)),
        Algorithm("rooms", "greedy", "greedy"),
    ]
    shares = simulation.fooled_shares(algorithms, ["rooms/tau_1=50", "greedy=2.5"], 0.05)
    assert shares == {"faces/tau_1": 0.11, "rooms/tau_1": 0.5, "rooms/greedy": 0.025}
    for given, expected in (
        ([], "no number for greedy"),
        (["greedy=x"], "got 'greedy=x'"),
        (["greedy=101"], "METHOD=PERCENT"),
        (["other=1"], "got 'other=1'"),
    ):
        with pytest.raises(UserError, match=expected):
            simulation.fooled_shares(algorithms, given, 0.05)
    with pytest.raises(UserError, match="spread must be below 15.6 percent where rooms/greedy"):
        simulation.fooled_shares(algorithms, ["greedy=2.5"], 0.16)


def test_planning_compares_within_a_data_set():
    algorithms = [
        Algorithm(data, method, method) for data in "ab" for method in ("high", "low", "mid")
    ]
    data_sets = [DataSet(name, (), {}) for name in "ab"]
    study = Study(None, Protocol(), "nearest", data_sets, algorithms, "")
    shares = {"low": 0.05, "mid": 0.25, "high": 0.25}
    ability = simulation.Ability({a.key: shares[a.method] for a in algorithms}, 0.05)
    head, _, *lines = simulation.plan_markdown(study, ability, seed=1).strip().splitlines()
    cells = [cell.strip() for cell in head.strip("|").split("|")]
    assert cells[7:] == ["a: low below a: high", "a: high below a: mid",
                         "b: low below b: high", "b: high below b: mid"]  # fmt: skip
    found = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert found[0] == "40" and found[7] == "100%" and int(found[8].strip("%")) < 8


def test_a_study_through_the_real_server(tmp_path):
    protocol = Protocol(practice=1, pairs=10, golden=1, exposure_ms=5, workers=8)
    study = studies.make(tmp_path / "study", protocol, images=20)
    keys = list(study.counts)
    ability = simulation.Ability({keys[0]: 0.0, keys[1]: 1.0}, 0.0, inattention=0.2)
    told = []
    with simulation.server(study) as url:
        outcome = simulation.run(url, study, ability, 20, seed=1, progress=told.append)
    sessions = store.read(study)
    summary = analysis.summarize(sessions, study)
    assert [row["kept"] for row in summary["algorithms"]] == [8, 8]
    assert [row["fooled"]["mean"] for row in summary["algorithms"]] == [0.0, 1.0]
    missed = sum(row["missed"] for row in summary["algorithms"])
    assert outcome["workers"] == 16 + missed == len(sessions)
    assert outcome["answers"] == 12 * len(sessions) and told[-1] <= outcome["answers"]
    assert {t["views"] for s in sessions for t in s["trials"]} == {1}


def test_a_killed_server_loses_nothing(tmp_path):
    """SIGKILL, four times, while 50 workers begin and answer; each goes on from there."""
    protocol = Protocol(practice=2, pairs=20, golden=1, exposure_ms=60, workers=25)
    study = studies.make(tmp_path / "study", protocol, images=40)
    recognizer = simulation.Recognizer(study)
    ability = simulation.Ability(dict.fromkeys(study.counts, 0.5), 0.0)
    process, url = simulation.start_server(study)
    answers = []

    def one(number):
        client = simulation.Client(url, patience=60)
        rng = np.random.default_rng(number)
        return simulation.work(
            client, f"w{number}", recognizer, ability, rng, lambda: answers.append(number)
        )

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        running = [pool.submit(one, number) for number in range(50)]
        for threshold in (0, 100, 400, 700):
            while len(answers) < threshold:
                assert not any(future.done() and future.exception() for future in running)
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process, again = simulation.start_server(study, url.strip("/").split(":")[-1])
            assert again == url
        outcomes = [future.result() for future in running]
    process.terminate()
    process.wait()
    sessions = {s["worker"]: s for s in store.read(study)}
    for number, outcome in enumerate(outcomes):
        assert outcome["state"] == "finished", outcome
        kept = [(t["number"], t["choice"]) for t in sessions[f"w{number}"]["trials"]]
        assert outcome["given"] == kept and len(kept) == protocol.images


@pytest.mark.slow
def test_the_paper_s_study_recovers_what_is_known(tmp_path):
    """4 algorithms x 50 workers, 200 at once, at the paper's pace: no error, no lost answer."""
    protocol = dataclasses.replace(Protocol(), workers=50)
    methods = ("regression", "tau_1", "tau_1.1", "tau_1.2")
    study = studies.make(tmp_path / "study", protocol, images=100, size=32, methods=methods)
    known = dict(zip(study.counts, (0.04, 0.11, 0.25, 0.45)))
    ability = simulation.Ability(known, spread=0.05, inattention=0.01)
    with simulation.server(study) as url:
        outcome = simulation.run(url, study, ability, 200, seed=1)
    sessions = store.read(study)
    answered = sum(t["choice"] is not None for s in sessions for t in s["trials"])
    assert answered == outcome["answers"] == 55 * outcome["workers"]
    inside = 0
    for row, share in zip(analysis.summarize(sessions, study)["algorithms"], known.values()):
        assert row["kept"] == 50
        # Who comes to which algorithm is chance, so this is, too: wrong once in 4,000 runs.
        assert abs(row["fooled"]["mean"] - share) < 4 * row["fooled"]["standard_error"], row
        low, high = row["interval"]
        inside += low <= share <= high
    assert inside >= 2  # of four 95% intervals: wrong once in 1,000 runs
