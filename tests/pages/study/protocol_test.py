"""The order of a session, by section 5.3."""

import collections

import numpy as np

from prsr.pages.study.protocol import GOLDEN, PAIR, PRACTICE, Protocol, plan


def test_the_paper_s_numbers():
    protocol = Protocol()
    assert (protocol.practice, protocol.pairs, protocol.golden) == (10, 40, 5)
    assert (protocol.exposure_ms, protocol.workers, protocol.images) == (1000, 40, 55)


def test_a_session():
    trials = plan(Protocol(), np.zeros(60, int), np.random.default_rng(0))
    kinds = [trial.kind for trial in trials]
    assert kinds[:10] == [PRACTICE] * 10
    assert collections.Counter(kinds[10:]) == {PAIR: 40, GOLDEN: 5}
    assert len({trial.image for trial in trials}) == 55
    assert {trial.image for trial in trials} <= set(range(60))


def test_golden_pairs_and_sides_are_anywhere():
    golden, left = collections.Counter(), collections.Counter()
    for seed in range(300):
        trials = plan(Protocol(), np.zeros(55, int), np.random.default_rng(seed))
        golden.update(i for i, trial in enumerate(trials) if trial.kind == GOLDEN)
        left.update(i for i, trial in enumerate(trials) if trial.truth_side == "left")
    # Each of 45 places has a golden pair in 1 of 9 sessions, 33.3 of 300, deviation 5.4.
    assert set(golden) == set(range(10, 55))
    assert all(10 < golden[i] < 60 for i in range(10, 55))
    # Each of 55 trials has the truth on the left in half of 300, deviation 8.7.
    assert all(105 < left[i] < 195 for i in range(55))


def test_pairs_take_the_images_that_were_shown_least():
    shown = np.full(100, 3)
    shown[20:60] = 2
    trials = plan(Protocol(), shown, np.random.default_rng(0))
    assert {trial.image for trial in trials if trial.kind == PAIR} == set(range(20, 60))
    # With equal counts it is a lot, not the first ones.
    trials = plan(Protocol(), np.zeros(1000, int), np.random.default_rng(0))
    assert max(trial.image for trial in trials if trial.kind == PAIR) > 500
