"""Who may do what, and when: sessions, answers and places."""

import collections
import concurrent.futures
import dataclasses
import sqlite3
import threading

import pytest

from prsr.pages.study import store as store_module
from prsr.pages.study.protocol import GOLDEN, SIDES
from prsr.pages.study.store import OutOfStep, Refused
from prsr.system.errors import UserError
from tests.pages.study import studies


@pytest.fixture
def store(study, clock):
    return studies.open_store(study, clock)


def sessions(store):
    return store_module.read(store.study)


def finish(store, clock, token, miss_golden=False):
    """Answers everything correctly, or everything but golden pairs."""
    state = store.state(token)
    while state["state"] == "pair":
        _, trial = store.due(token)
        is_right = not (miss_golden and trial.kind == GOLDEN)
        choice = SIDES[(trial.truth_side == "right") == is_right]
        clock.now += 1
        state = store.answer(token, state["number"], choice, 20.0, 5.0)
    return state


def test_a_session_from_begin_to_end(store, clock):
    """Practice pairs come first, with feedback; then the others; then a code."""
    token = studies.begin(store, "ann")
    state = store.state(token)
    for number in range(6):
        is_practice = number < 2
        position, of = (number + 1, 2) if is_practice else (number - 1, 4)
        assert state == {
            "state": "pair", "number": number, "practice": is_practice, "position": position,
            "of": of, "exposure_ms": 20, "ahead": min(2, 5 - number),
        }  # fmt: skip
        side = store.due(token)[1].truth_side
        clock.now += 1
        wrong = "left" if side == "right" else "right"
        state = store.answer(token, number, wrong if number == 1 else side, 19.5, 7.25)
        assert state.pop("correct", None) == ([True, False][number] if is_practice else None)
    assert state["state"] == "finished" and len(state["code"]) == 8
    assert store.state(token) == state
    (session,) = sessions(store)
    answers = session["answers"]
    assert session["worker"] == "ann" and not session["missed"]
    assert [a["choice"] == a["truth_side"] for a in answers] == [True, False] + [True] * 4
    assert {(a["exposure_ms"], a["response_ms"]) for a in answers} == {(19.5, 7.25)}
    assert answers[0]["views"] == 2 and {a["views"] for a in answers[1:]} == {1}


def test_answers_out_of_step_are_refused_and_change_nothing(store, clock):
    """Early, repeated and skipping answers are refused, and those of unknown sessions."""
    ann, bob = studies.begin(store, "ann"), studies.begin(store, "bob")
    for token in (ann, bob):
        with pytest.raises(OutOfStep, match="not shown for long enough"):
            store.answer(token, 0, "left", 20, 0)
    clock.now -= 3600  # a clock that is set back locks nobody out
    store.answer(ann, 0, "left", 20, 0)
    clock.now += 3601
    before = sessions(store)
    for number in (-1, 0, 2, 5, 6, 10**9):
        with pytest.raises(OutOfStep, match="another pair"):
            store.answer(ann, number, "right", 20, 0)
    with pytest.raises(Refused, match="no such session"):
        store.answer("ann", 1, "left", 20, 0)
    assert sessions(store) == before


def test_a_worker_takes_part_once(store, clock):
    token = studies.begin(store, "ann")
    for _ in range(2):
        with pytest.raises(Refused, match="only once"):
            studies.begin(store, "ann")
        finish(store, clock, token)
    assert len(store.worker(studies.begin(store))) >= 20  # an anonymous one


def test_places_are_balanced_and_limited(store, clock):
    tokens = [studies.begin(store) for _ in range(4)]
    taken = collections.Counter(session["algorithm"] for session in sessions(store))
    assert taken == {"noise/regression": 2, "noise/tau_1": 2}
    with pytest.raises(Refused, match="places are taken"):
        studies.begin(store)
    for token in tokens:
        finish(store, clock, token)
    with pytest.raises(Refused, match="places are taken"):
        studies.begin(store)
    assert {p["kept"] for p in store.progress().values()} == {2}


def test_an_abandoned_place_is_given_away_once(store, clock):
    tokens = [studies.begin(store) for _ in range(4)]
    clock.now += 90
    for token in tokens[1:]:
        store.state(token)
    clock.now += 20  # the first was silent for 110 s, the others for 20
    late = studies.begin(store, "late")
    algorithm = store.due(late)[0]
    assert algorithm == store.due(tokens[0])[0]
    for request in (store.state, lambda token: store.answer(token, 0, "left", 20, 0)):
        with pytest.raises(Refused, match="took your place"):
            request(tokens[0])
    assert store.progress()[algorithm]["abandoned"] == 1
    finish(store, clock, late, miss_golden=True)  # is excluded: the first may go on
    assert store.state(tokens[0])["number"] == 0


def test_an_absent_worker_loses_the_place_only_if_no_other_is_free(store, clock):
    first = studies.begin(store)
    clock.now += 110
    for _ in range(2):
        studies.begin(store)
    assert store.state(first)["number"] == 0


def test_a_worker_who_misses_a_golden_pair_is_replaced_untold(store, clock):
    tokens = [studies.begin(store) for _ in range(4)]
    assert finish(store, clock, tokens[0], miss_golden=True)["state"] == "finished"
    studies.begin(store)
    with pytest.raises(Refused, match="places are taken"):
        studies.begin(store)
    counts = store.progress().values()
    totals = {name: sum(c[name] for c in counts) for name in ("missed", "active", "answers")}
    assert totals == {"missed": 1, "active": 4, "answers": 0}  # answers of kept sessions
    first, *others = sessions(store)
    assert first["missed"] and not any(session["missed"] for session in others)
    for name in ("algorithm", "place"):
        assert others[-1][name] == first[name]  # and so the same images


def test_pictures_are_shown_to_their_worker_alone_and_in_time(study, store, clock):
    """Golden pairs show bicubic images, other pairs the algorithm's, each beside its original."""
    ann, bob = studies.begin(store, "ann"), studies.begin(store, "bob")
    for number in range(6):
        algorithm, trial = store.due(ann)
        method = "bicubic" if trial.kind == GOLDEN else algorithm.split("/")[1]
        for side in SIDES:
            name = "truth" if side == trial.truth_side else method
            assert store.picture(ann, number, side) == study.picture("noise", name, trial.image)
        for wrong in (number - 1, number + 3, 6, 10**9):
            assert store.picture(ann, wrong, "left") is None
        for ahead in range(number, min(number + 3, 6)):
            assert store.picture(ann, ahead, "left") and store.picture(ann, ahead, "right")
        assert store.picture("", number, "left") is None
        assert (store.picture(bob, number, "left") is None) == (number > 2)
        clock.now += 1
        store.answer(ann, number, "left", 20, 0)
    assert store.picture(ann, 5, "left") is None


def test_two_answers_at_the_same_moment_are_one(study):
    study = dataclasses.replace(study, protocol=dataclasses.replace(study.protocol, exposure_ms=0))
    stores = [store_module.Store(study) for _ in range(2)]  # two connections, as of two servers
    token = studies.begin(stores[0])
    barrier = threading.Barrier(8)

    def answer(i):
        barrier.wait()
        return stores[i % 2].answer(token, 0, SIDES[i // 4], 20, 0)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = [pool.submit(answer, i) for i in range(8)]
    errors = [outcome.exception() for outcome in outcomes]
    assert errors.count(None) == 1 and sum(isinstance(e, OutOfStep) for e in errors) == 7


def test_time_without_a_server_does_not_abandon_a_session(study, store, clock):
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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE study SET identity = 'x'", "another study"),
        ("PRAGMA user_version = 1", "another version"),
        (None, "cannot be used"),
    ],
)
def test_answers_of_another_study_or_version_and_damaged_ones_are_refused(
    study, store, change, words
):
    store.close()
    if change is None:
        study.answers.write_bytes(b"not a database, though it is long enough to be one" * 100)
    else:
        with sqlite3.connect(study.answers) as database:
            database.executescript(change)
    for use in (studies.open_store, store_module.read):
        with pytest.raises(UserError, match=words):
            use(study)


def test_a_copy_of_the_file_has_every_answer(study, store, clock):
    """Of answers.db alone, while the server runs."""
    finish(store, clock, studies.begin(store))
    expected = sessions(store)
    content = study.answers.read_bytes()
    store.close()
    study.answers.write_bytes(content)
    assert sessions(store) == expected and len(expected[0]["answers"]) == 6
