"""The order of a session, by section 5.3."""

import collections
import dataclasses

import numpy as np

from prsr.pages.study.protocol import GOLDEN, PAIR, PRACTICE, Protocol, counted_images, plan


def test_the_default_session_is_the_paper_s():
    protocol = Protocol()
    assert (protocol.exposure_ms, protocol.workers, protocol.images) == (1000, 40, 55)
    trials = plan(protocol, np.arange(20, 60), 60, "seed")
    kinds = [trial.kind for trial in trials]
    assert kinds[:10] == [PRACTICE] * 10
    assert collections.Counter(kinds[10:]) == {PAIR: 40, GOLDEN: 5}
    assert len({trial.image for trial in trials}) == 55
    assert {trial.image for trial in trials if trial.kind == PAIR} == set(range(20, 60))


def test_a_plan_follows_from_its_seed():
    """The numbers must be the same with every version of NumPy: studies depend on them."""
    protocol = Protocol(practice=1, pairs=2, golden=1)
    counted = counted_images(protocol, 9, "study")
    assert np.array(counted[:3]).tolist() == [[0, 4], [2, 6], [7, 5]]
    trials = plan(protocol, counted[0], 9, "session")
    assert trials == [
        (PRACTICE, 8, "left"),
        (GOLDEN, 6, "right"),
        (PAIR, 0, "right"),
        (PAIR, 4, "left"),
    ]
    assert plan(protocol, counted[0], 9, "another") != trials


def test_golden_pairs_and_sides_are_spread_evenly():
    golden, left = collections.Counter(), collections.Counter()
    for seed in range(300):
        trials = plan(Protocol(), np.arange(40), 55, str(seed))
        golden.update(i for i, trial in enumerate(trials) if trial.kind == GOLDEN)
        left.update(i for i, trial in enumerate(trials) if trial.truth_side == "left")
    # Each of 45 places has a golden pair in 1 of 9 sessions, 33.3 of 300, deviation 5.4.
    assert set(golden) == set(range(10, 55))
    assert all(10 < golden[i] < 60 for i in range(10, 55))
    # Each of 55 trials has the original on the left in half of 300, deviation 8.7.
    assert all(105 < left[i] < 195 for i in range(55))


def test_places_share_the_images_equally():
    places = counted_images(dataclasses.replace(Protocol(), workers=31), 100, "study")
    assert all(len(set(images.tolist())) == 40 for images in places)
    assert set(np.bincount(np.concatenate(places), minlength=100)) <= {12, 13}  # 31 x 40 / 100
    assert max(counted_images(Protocol(), 1000, "study")[0]) > 500  # not the first images
