"""% fooled, its errors and Figure 7, against numbers worked by hand."""

import csv

import numpy as np
import pytest

from prsr.pages.study import analysis
from prsr.pages.study.directory import Algorithm, Study
from prsr.pages.study.protocol import GOLDEN, PAIR, PRACTICE, Protocol

ALGORITHM = Algorithm("noise", "tau_1", "tau = 1", (11.0, 0.1))
STUDY = Study(None, Protocol(), "nearest", [], [ALGORITHM], "")


def session(number, wrong, missed=False, finished=1.0):
    """A session of one practice pair (wrong), a golden one, and four that count."""

    def answer(i, kind, image, right):
        times = {"exposure_ms": 1000.0 + i, "response_ms": 500.0, "views": 1, "exposures": 1}
        choice = {"truth_side": "left", "choice": "left" if right else "right"}
        return {"number": i, "kind": kind, "image": image, **choice, **times}

    answers = [answer(0, PRACTICE, 7, False), answer(1, GOLDEN, 6, not missed)]
    answers += [answer(2 + i, PAIR, image, i >= wrong) for i, image in enumerate(range(4))]
    return {
        "id": number,
        "algorithm": "noise/tau_1",
        "missed": int(missed),
        "finished": finished,
        "worker": "secret",
        "code": f"CODE{number}",
        "answers": answers if finished else answers[:-1],
    }


SESSIONS = [
    session(1, 1),
    session(2, 2),
    session(3, 0),
    session(4, 4, missed=True),
    session(5, 3, finished=None),
    session(6, 4, missed=True, finished=None),
]


def test_percent_fooled_by_hand():
    summary = analysis.summarize(SESSIONS, STUDY)
    (row,) = summary["algorithms"]
    # Rates 1/4, 2/4 and 0: mean 1/4, deviation 1/4, error 1/4 / sqrt(3).
    assert row["fooled"]["mean"] == pytest.approx(0.25)
    assert row["fooled"]["standard_error"] == pytest.approx(0.25 / np.sqrt(3))
    assert (row["kept"], row["missed"], row["unfinished"], row["answers"]) == (3, 2, 1, 12)
    # The rates are symmetric, so nothing is corrected or accelerated: of 27 equally likely
    # draws of 3, all 0 and all 2 of 4 have 1/27 each, more than the 2.5% that are cut off.
    assert row["interval"] == pytest.approx((0.0, 0.5))
    assert summary["checks"]["answers"] == 34
    assert summary["checks"]["truth_on_the_left"] == 1
    assert summary["checks"]["left_chosen"] == pytest.approx(9 / 12)


@pytest.mark.parametrize("rates", [[], [0.3], [0.0] * 40])
def test_too_few_or_equal_rates_have_no_interval(rates):
    assert analysis.bootstrap(rates, np.random.default_rng(0)) is None


def test_a_study_without_workers_has_a_report():
    summary = analysis.summarize([], STUDY)
    assert "| noise | tau = 1 |  |  | 11.0 ± 0.1 | 0 | 0 | 0 |" in analysis.markdown(summary)
    assert "noise,tau_1,,,,,11.0,0.1,0,0,0,0" in analysis.to_csv(summary)


def test_markdown_and_csv_hold_the_summary():
    summary = analysis.summarize(SESSIONS, STUDY)
    line = "| noise | tau = 1 | 25.0 ± 14.4 | 0.0 to 50.0 | 11.0 ± 0.1 | 3 | 2 | 1 |"
    assert line in analysis.markdown(summary)
    (row,) = csv.DictReader(analysis.to_csv(summary).splitlines())
    assert row["percent_fooled"] == "25.0" and row["standard_error"] == "14.43"
    assert (row["kept"], row["missed"], row["unfinished"]) == ("3", "2", "1")
    workers = list(csv.DictReader(analysis.workers_csv(SESSIONS).splitlines()))
    found = [(worker["status"], worker["code"]) for worker in workers[3:5]]
    assert found == [("missed", "CODE4"), ("unfinished", "")]
    answers = list(csv.DictReader(analysis.answers_csv(SESSIONS).splitlines()))
    assert len(answers) == 34 and "secret" not in str(answers)
    assert answers[0]["choice"] == "right" and answers[0]["kind"] == "practice"


def test_best_and_worst_images_by_hand():
    # Chosen 8 of 9 passes 1 of 1; 0 of 9 is worse than 0 of 1; an image never shown is neither.
    shown = np.array([9, 1, 9, 1, 0, 4])
    chosen = np.array([8, 1, 0, 0, 0, 2])
    assert analysis.best_and_worst(shown, chosen, 2) == ([0, 1], [2, 3])
    assert analysis.best_and_worst(np.zeros(3, int), np.zeros(3, int), 2) == ([], [])


def test_images_are_counted_in_kept_sessions_only():
    shown, chosen = analysis.rate_images(SESSIONS, "noise/tau_1", 8)
    np.testing.assert_array_equal(shown, [3, 3, 3, 3, 0, 0, 0, 0])
    np.testing.assert_array_equal(chosen, [2, 1, 0, 0, 0, 0, 0, 0])
