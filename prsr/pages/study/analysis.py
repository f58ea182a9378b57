"""Analyzes a study: % fooled with its errors, excluded workers, best and worst images."""

import numpy as np

from prsr.evaluation import tables
from prsr.pages.study.protocol import PAIR
from prsr.system.errors import UserError

try:
    from scipy import stats
except ImportError as error:
    raise UserError(
        f"the study's report needs {error.name}: pip install -e '.[study]', or pip install scipy"
    ) from error

STATUSES = ("kept", "missed", "unfinished")


def status(session):
    """One of `STATUSES`: `missed` (a golden pair), `unfinished` or `kept`."""
    if session["missed"]:
        return "missed"
    return "unfinished" if session["finished"] is None else "kept"


def fooled(answer):
    """Whether the worker took the algorithm's image for the photograph."""
    return answer["choice"] != answer["truth_side"]


def counted(session):
    """The answers that count: no practice, no golden pairs."""
    return [answer for answer in session["answers"] if answer["kind"] == PAIR]


def bootstrap(rates, rng):
    """The 95% bootstrap interval of the mean over workers' rates, resampled with replacement.

    BCa (bias-corrected and accelerated; Efron, 1987), because rates near zero are skewed. None
    for fewer than two workers or equal rates, for which it is undefined.
    """
    rates = np.asarray(rates, float)
    if len(rates) < 2 or np.ptp(rates) == 0:
        return None
    result = stats.bootstrap((rates,), np.mean, n_resamples=10_000, method="BCa", rng=rng)
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def summarize(sessions, study, seed=1):
    """Computes % fooled of every algorithm, from the sessions that `store.read` returned.

    A worker's rate is the share of counted pairs in which the worker chose the algorithm's
    image. The mean, the standard error, s / sqrt(workers), and the bootstrap are over kept
    workers. The error and the bootstrap hold the images fixed.

    Returns a dict for JSON: `"algorithms"`, a list of one dict per algorithm, with rates from 0
    to 1, and `"checks"` of the whole study.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for algorithm in study.algorithms:
        its_sessions = [one for one in sessions if one["algorithm"] == algorithm.key]
        kept = [session for session in its_sessions if status(session) == "kept"]
        rates = [np.mean([fooled(answer) for answer in counted(session)]) for session in kept]
        row = {"data": algorithm.data, "method": algorithm.method, "title": algorithm.title}
        row.update({name: sum(status(s) == name for s in its_sessions) for name in STATUSES})
        row["answers"] = sum(len(counted(session)) for session in kept)
        row["fooled"] = tables.summary(rates) if rates else None
        row["interval"] = bootstrap(rates, rng)
        row["paper_percent"] = algorithm.paper
        rows.append(row)
    return {"algorithms": rows, "checks": _attention_checks(sessions, study.protocol.exposure_ms)}


def _attention_checks(sessions, exposure_ms):
    kept = [answer for s in sessions if status(s) == "kept" for answer in counted(s)]
    answers = [answer for session in sessions for answer in session["answers"]]
    exposures = np.array([answer["exposure_ms"] for answer in answers])
    result = {"sessions": len(sessions), "answers": len(answers)}
    if kept:
        result["truth_on_the_left"] = float(np.mean([a["truth_side"] == "left" for a in kept]))
        result["left_chosen"] = float(np.mean([a["choice"] == "left" for a in kept]))
    if answers:
        result["median_exposure_ms"] = float(np.median(exposures))
        result["exposures_off_by_50_ms"] = int(np.sum(np.abs(exposures - exposure_ms) > 50))
        result["median_response_ms"] = float(np.median([a["response_ms"] for a in answers]))
        result["shown_again"] = sum(a["views"] > 1 or a["exposures"] > 1 for a in answers)
    return result


def rate_images(sessions, key, count):
    """How often each of an algorithm's images was shown and chosen in kept sessions: two arrays."""
    shown, chosen = np.zeros(count, int), np.zeros(count, int)
    for session in sessions:
        if session["algorithm"] == key and status(session) == "kept":
            for answer in counted(session):
                shown[answer["image"]] += 1
                chosen[answer["image"]] += fooled(answer)
    return shown, chosen


def best_and_worst(shown, chosen, count):
    """Figure 7: the images that were taken for photographs most and least often.

    Ranks by (chosen + 1) / (shown + 2), the share after one more answer of each kind, so
    that an image shown once does not outrank one chosen 8 times out of 9. Returns two lists of
    at most `count` image numbers, best first and worst first. No image is in both.
    """
    score = (chosen + 1) / (shown + 2)
    seen = [i for i in np.argsort(-score, kind="stable").tolist() if shown[i]]
    count = min(count, len(seen) // 2)
    return seen[:count], seen[::-1][:count]


def markdown(report):
    """What `summarize` returned, as Markdown."""
    head = ["images", "algorithm", "% fooled", "95% interval", "paper"]
    head += ["kept", "missed a golden pair", "not finished"]
    rows = []
    for row in report["algorithms"]:
        interval, paper = row["interval"], row["paper_percent"]
        cells = [
            tables.plus_minus(row["fooled"], 1, 100) if row["fooled"] else "",
            "{:.1f} to {:.1f}".format(*(100 * v for v in interval)) if interval else "",
            "{:.1f} ± {:.1f}".format(*paper) if paper else "",
        ]
        rows.append([row["data"], row["title"], *cells, *(row[name] for name in STATUSES)])
    lines = [
        tables.to_markdown(head, rows),
        "% fooled: how often the algorithm's image was taken for the photograph; 50% would be "
        "perfect. ±: standard error between workers. Interval: BCa bootstrap over workers. Both "
        "hold for these images only. Only kept sessions count: finished, no golden pair missed.",
    ]
    checks = report["checks"]
    if "left_chosen" in checks:
        lines += [
            "",
            f"The original was on the left in {checks['truth_on_the_left']:.1%} of the counted "
            f"pairs, and workers chose the left in {checks['left_chosen']:.1%}.",
        ]
    if "median_exposure_ms" in checks:
        lines += [
            "",
            f"{checks['answers']:,} answers in {checks['sessions']} sessions. Pairs were shown for "
            f"{checks['median_exposure_ms']:.0f} ms (median; {checks['exposures_off_by_50_ms']} "
            f"were off by more than 50 ms), and answered {checks['median_response_ms']:.0f} ms "
            f"later (median). {checks['shown_again']} were shown again because the page was "
            f"reloaded, was hidden, or missed the server's reply to an answer.",
        ]
    return "\n".join(lines) + "\n"


def to_csv(report):
    """The algorithms as CSV, rates in percent."""
    head = ["data", "method", "percent_fooled", "standard_error", "interval_low", "interval_high"]
    head += ["paper_percent", "paper_error", *STATUSES, "answers"]
    rows = []
    for row in report["algorithms"]:
        mean_and_error = row["fooled"] or {"mean": None, "standard_error": None}
        shares = [*mean_and_error.values(), *(row["interval"] or (None, None))]
        percents = [None if share is None else float(f"{100 * share:.4g}") for share in shares]
        paper = row["paper_percent"] or (None, None)
        counts = [row[name] for name in STATUSES]
        rows.append([row["data"], row["method"], *percents, *paper, *counts, row["answers"]])
    return tables.to_csv(head, rows)


def answers_csv(sessions):
    """Every answer of every session as CSV, without the workers' identifiers."""
    columns = ("number", "kind", "image", "truth_side", "choice")
    columns += ("exposure_ms", "response_ms", "views", "exposures")
    rows = [
        [session["id"], status(session), session["algorithm"], *(answer[c] for c in columns)]
        for session in sessions
        for answer in session["answers"]
    ]
    return tables.to_csv(["session", "status", "algorithm", *columns], rows)


def workers_csv(sessions):
    """Identifier, status and code of everyone who took part, for whoever pays them, as CSV."""
    rows = [
        [s["worker"], s["id"], s["algorithm"], status(s), s["code"] if s["finished"] else None]
        for s in sessions
    ]
    return tables.to_csv(["worker", "session", "algorithm", "status", "code"], rows)
