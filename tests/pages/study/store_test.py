"""Who may do what, when: sessions, answers and places."""

import collections
import dataclasses
import sqlite3
import threading

import pytest

from prsr.pages.study import store as store_module
from prsr.pages.study.protocol import GOLDEN
from prsr.pages.study.store import OutOfStep, Refused
from prsr.system.errors import UserError
from tests.pages.study import studies


@pytest.fixture
def study(tmp_path):
    return studies.make(tmp_path / "study")


@pytest.fixture
def clock():
    return studies.Clock()


@pytest.fixture
def store(study, clock):
    return studies.open_store(study, clock)


def rows(store, sql, *arguments):
    return store._database.execute(sql, arguments).fetchall()


def right_side(store, token):
    """Where the truth stands in the pair that is due."""
    return rows(
        store,
        "SELECT truth_side, kind FROM trials JOIN sessions ON session = id "
        "WHERE token = ? AND choice IS NULL ORDER BY number",
        token,
    )[0]


def finish(store, clock, token, miss_golden=False):
    """Answers everything rightly, but for golden pairs if so wished."""
    state = store.state(token)
    while state["state"] == "pair":
        side, kind = right_side(store, token)
        if miss_golden and kind == GOLDEN:
            side = "left" if side == "right" else "right"
        clock.now += 1
        state = store.answer(token, state["number"], side, 20.0, 5.0)
    return state


def test_a_session_from_begin_to_end(study, store, clock):
    token = studies.begin(store, "ann")
    state = store.state(token)
    assert state["practice"] and (state["position"], state["of"]) == (1, 2)
    seen = set()
    for number in range(6):
        assert state["number"] == number
        assert state["practice"] == (number < 2)
        assert {"left", "right", "exposure_ms", "upcoming"} <= set(state)
        assert not {state["left"], state["right"]} & seen
        seen |= {state["left"], state["right"]}
        side, _ = right_side(store, token)
        clock.now += 1
        wrong = "left" if side == "right" else "right"
        state = store.answer(token, number, wrong if number == 1 else side, 19.5, 7.25)
        assert ("correct" in state) == (number < 2)
        if number < 2:
            assert state["correct"] == (number == 0)
    assert state["state"] == "finished" and len(state["code"]) == 8
    assert store.state(token) == state
    kept = rows(store, "SELECT * FROM trials ORDER BY number")
    assert [row["choice"] == row["truth_side"] for row in kept] == [True, False] + [True] * 4
    assert {row["exposure_ms"] for row in kept} == {19.5}
    assert {row["response_ms"] for row in kept} == {7.25}
    (session,) = store_module.read(study)
    assert session["worker"] == "ann" and len(session["trials"]) == 6


def test_answers_cannot_be_replayed_skipped_hurried_or_sent_for_another(store, clock):
    ann, bob = studies.begin(store, "ann"), studies.begin(store, "bob")
    store.state(ann)
    with pytest.raises(OutOfStep, match="not shown for long enough"):
        store.answer(ann, 0, "left", 20, 0)
    with pytest.raises(OutOfStep, match="not shown for long enough"):
        store.answer(bob, 0, "left", 20, 0)
    clock.now += 1
    with pytest.raises(OutOfStep, match="another pair"):
        store.answer(ann, 1, "left", 20, 0)
    store.answer(ann, 0, "left", 20, 0)
    clock.now += 1
    with pytest.raises(OutOfStep, match="another pair"):
        store.answer(ann, 0, "right", 20, 0)
    with pytest.raises(Refused, match="no such session"):
        store.answer("ann", 1, "left", 20, 0)
    assert [tuple(row) for row in rows(store, "SELECT session, number, choice FROM trials "
            "WHERE choice IS NOT NULL")] == [(1, 0, "left")]  # fmt: skip


def test_a_clock_that_is_set_back_locks_nobody_out(store, clock):
    token = studies.begin(store)
    store.state(token)
    clock.now -= 3600
    store.answer(token, 0, "left", 20, 0)


def test_everyone_takes_part_once(store, clock):
    finish(store, clock, studies.begin(store, "ann"))
    with pytest.raises(Refused, match="may take part only once"):
        studies.begin(store, "ann")
    names = {rows(store, "SELECT worker FROM sessions WHERE token = ?", studies.begin(store))[0][0]}
    assert all(len(name) >= 20 for name in names)


def test_places_are_balanced_and_end(store, clock):
    tokens = [studies.begin(store) for _ in range(4)]
    taken = collections.Counter(row[0] for row in rows(store, "SELECT algorithm FROM sessions"))
    assert taken == {"noise/regression": 2, "noise/tau_1": 2}
    with pytest.raises(Refused, match="places are taken"):
        studies.begin(store)
    for token in tokens:
        finish(store, clock, token)
    with pytest.raises(Refused, match="places are taken"):
        studies.begin(store)
    assert {p["kept"] for p in store.progress().values()} == {2}


def test_the_first_algorithm_is_drawn_by_lot(tmp_path, clock):
    first = collections.Counter()
    for i in range(20):
        one = studies.open_store(studies.make(tmp_path / str(i)), clock)
        studies.begin(one)
        first[rows(one, "SELECT algorithm FROM sessions")[0][0]] += 1
    assert len(first) == 2


def test_an_abandoned_place_is_given_to_another_and_no_more_than_that(store, clock):
    tokens = [studies.begin(store) for _ in range(4)]
    store.state(tokens[0])
    clock.now += 90
    for token in tokens[1:]:
        store.state(token)
    clock.now += 20  # the first was silent for 110 s, the others for 20
    late = studies.begin(store, "late")
    algorithms = dict(map(tuple, rows(store, "SELECT token, algorithm FROM sessions")))
    assert algorithms[late] == algorithms[tokens[0]]
    with pytest.raises(Refused, match="took your place"):
        store.state(tokens[0])
    with pytest.raises(Refused, match="took your place"):
        store.answer(tokens[0], 0, "left", 20, 0)
    assert store.progress()[algorithms[late]]["abandoned"] == 1
    # The newcomer is thrown out: the first may go on.
    finish(store, clock, late, miss_golden=True)
    assert store.state(tokens[0])["number"] == 0


def test_who_misses_a_golden_pair_is_replaced_at_once(store, clock):
    for _ in range(4):
        studies.begin(store)
    token = rows(store, "SELECT token FROM sessions")[0][0]
    assert finish(store, clock, token, miss_golden=True)["state"] == "finished"  # not told
    studies.begin(store)
    with pytest.raises(Refused, match="places are taken"):
        studies.begin(store)
    counts = store.progress()
    assert sum(c["missed"] for c in counts.values()) == 1
    assert sum(c["active"] for c in counts.values()) == 4
    assert sum(c["answers"] for c in counts.values()) == 0  # of sessions that are kept


def test_images_are_rated_about_as_often(tmp_path, clock):
    protocol = dataclasses.replace(studies.SMALL, workers=16)
    store = studies.open_store(
        studies.make(tmp_path / "s", protocol, images=8, methods=("tau_1",)), clock
    )
    for _ in range(16):
        studies.begin(store)  # all at once, before anyone has answered
    counts = [row[0] for row in rows(store, "SELECT count(*) FROM trials WHERE kind = 'pair' "
              "GROUP BY image")]  # fmt: skip
    assert counts == [6] * 8  # 16 workers x 3 pairs / 8 images


def test_pictures_are_shown_to_their_worker_alone_and_in_time(store, clock):
    ann, bob = studies.begin(store, "ann"), studies.begin(store, "bob")
    state = store.state(ann)
    side, _ = right_side(store, ann)
    other = "left" if side == "right" else "right"
    assert store.picture(ann, state[side]).truth and not store.picture(ann, state[other]).truth
    assert store.picture(bob, state["left"]) is None
    assert store.picture("", state["left"]) is None
    assert len(state["upcoming"]) == 4
    assert all(store.picture(ann, address) for address in state["upcoming"])
    every = rows(store, "SELECT left_id FROM trials WHERE session = 1 ORDER BY number")
    assert store.picture(ann, every[3][0]) is None  # not yet
    clock.now += 1
    store.answer(ann, 0, "left", 20, 0)
    assert store.picture(ann, state["left"]) is None  # not any more
    assert store.picture(ann, every[3][0])


def test_golden_pairs_are_bicubic(store, clock):
    token = studies.begin(store)
    kinds = {}
    state = store.state(token)
    while state["state"] == "pair":
        side, kind = right_side(store, token)
        pictures = {s: store.picture(token, state[s]) for s in ("left", "right")}
        assert [s for s in pictures if pictures[s].truth] == [side]
        assert pictures["left"].number == pictures["right"].number
        kinds[kind] = pictures["left"].golden
        clock.now += 1
        state = store.answer(token, state["number"], side, 20, 0)
    assert kinds == {"practice": False, "pair": False, "golden": True}


def test_two_answers_at_the_same_moment_are_one(study):
    study = dataclasses.replace(study, protocol=dataclasses.replace(study.protocol, exposure_ms=0))
    stores = [store_module.Store(study) for _ in range(2)]  # two connections, as of two servers
    token = studies.begin(stores[0])
    stores[0].state(token)
    barrier, outcomes = threading.Barrier(8), []

    def answer(store, choice):
        barrier.wait()
        try:
            outcomes.append(store.answer(token, 0, choice, 20, 0))
        except OutOfStep:
            outcomes.append(None)

    threads = [
        threading.Thread(target=answer, args=(stores[i % 2], ("left", "right")[i // 4]))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8 and sum(outcome is not None for outcome in outcomes) == 1


def test_a_refusal_changes_nothing(store, clock):
    token = studies.begin(store)
    store.state(token)
    before = list(store._database.iterdump())
    clock.now += 1
    for number in (-1, 1, 5, 6, 10**9):
        with pytest.raises(OutOfStep):
            store.answer(token, number, "left", 20, 0)
    assert list(store._database.iterdump()) == before


def test_a_full_disk_is_an_error_and_no_half_session(tmp_path, clock):
    protocol = dataclasses.replace(studies.SMALL, workers=1000)
    store = studies.open_store(studies.make(tmp_path / "study", protocol), clock)
    token = studies.begin(store)
    store.state(token)
    clock.now += 1
    pages = rows(store, "PRAGMA page_count")[0][0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        for _ in range(1000):
            studies.begin(store)
    per_session = rows(store, "SELECT count(*) FROM trials GROUP BY session")
    assert {row[0] for row in per_session} == {protocol.images}
    assert len(per_session) == rows(store, "SELECT count(*) FROM sessions")[0][0]
    store._database.execute("PRAGMA max_page_count = 1000000")
    assert store.answer(token, 0, "left", 20, 0)["number"] == 1


def test_who_did_not_hear_that_it_began_begins_once(store, clock):
    token = studies.begin(store, "ann")
    clock.now += 1
    again = store.begin(token, "ann")
    assert again == store.state(token) and again["number"] == 0
    assert rows(store, "SELECT count(*) FROM sessions")[0][0] == 1
    with pytest.raises(Refused, match="once"):
        studies.begin(store, "ann")


def test_while_no_server_runs_nobody_is_silent(study, store, clock):
    stale, active = studies.begin(store), studies.begin(store)
    clock.now += 150
    store.state(active)
    store.close()
    clock.now += 10_000
    store = studies.open_store(study, clock)
    counts = store.progress().values()
    assert sum(c["active"] for c in counts) == 1 and sum(c["abandoned"] for c in counts) == 1
    for _ in range(3):
        studies.begin(store)
    assert store.state(active)["number"] == 0
    with pytest.raises(Refused, match="took your place"):
        store.state(stale)


def test_answers_belong_to_one_study(tmp_path, study, store):
    studies.begin(store)
    store.close()
    other = studies.make(tmp_path / "other")
    study.answers.rename(other.answers)
    with pytest.raises(UserError, match="another study"):
        studies.open_store(other)
    with pytest.raises(UserError, match="another study"):
        store_module.read(other)


def test_damaged_answers_are_one_line(study):
    study.answers.write_bytes(b"not a database, though it is long enough to be one" * 100)
    with pytest.raises(UserError, match="cannot be used"):
        studies.open_store(study)
    with pytest.raises(UserError, match="cannot be used"):
        store_module.read(study)
