"""Simulated workers of known ability, who test a study."""

import dataclasses
import itertools
import math

import numpy as np

from prsr.pages.study.protocol import GOLDEN, SIDES
from prsr.pages.study.server import COOKIE, create_app
from prsr.pages.study.store import Store
from prsr.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Ability:
    """How a population of workers answers."""

    fooled: dict  # from an algorithm's key to the mean share of fooled answers
    spread: float = 0.05  # standard deviation of that share between workers
    inattention: float = 0.01  # probability of missing a golden pair

    def rate(self, key, rng):
        """Draws one worker's share of fooled answers from a Beta distribution."""
        mean, spread = self.fooled[key], self.spread
        if not spread or mean in (0, 1):
            return mean
        concentration = mean * (1 - mean) / spread**2 - 1
        return rng.beta(mean * concentration, (1 - mean) * concentration)


def fooled_shares(algorithms, given, spread):
    """How often workers are fooled, `Ability.fooled`: as given, or else as in the paper.

    `given` is a list of `METHOD=PERCENT`, where `METHOD` may be an algorithm's key. Raises
    UserError if an entry is invalid or missing, or the spread (0 to 1) is too large.
    """
    shares = {a.key: a.paper[0] / 100 for a in algorithms if a.paper}
    for entry in given:
        method, _, text = entry.partition("=")
        keys = [a.key for a in algorithms if method in (a.method, a.key)]
        try:
            percent = float(text)
        except ValueError:
            percent = math.nan
        if not keys or not 0 <= percent <= 100:
            known = ", ".join(a.method for a in algorithms)
            raise UserError(f"expected METHOD=PERCENT, METHOD being one of {known}; got '{entry}'")
        shares.update(dict.fromkeys(keys, percent / 100))
    missing = [a.method for a in algorithms if a.key not in shares]
    if missing:
        raise UserError(
            f"the paper has no number for {', '.join(missing)}; give one, such as {missing[0]}=10"
        )
    for key, share in shares.items():
        most = math.sqrt(share * (1 - share))
        if 0 < share < 1 and spread >= most:
            raise UserError(
                f"the spread must be below {100 * most:.1f} percent where {key} fools "
                f"{100 * share:g} percent; got {100 * spread:g}"
            )
    return shares


def run(study, ability, seed, progress=lambda answers: None):
    """Sends workers through the study's application, one after another, until it is full.

    After each worker it calls `progress` with the number of answers so far. Returns the numbers
    of workers and of answers.
    """
    answers = 0
    # So that nobody has to wait, each look at the clock is one exposure later.
    clock = itertools.count(step=study.protocol.exposure_ms / 1000)
    store = Store(study, clock=lambda: next(clock))
    app = create_app(study, store)
    for number in itertools.count():
        browser, worker = app.test_client(), f"simulated-{number}"
        browser.get(f"/api/state?worker={worker}")
        state = browser.post("/api/begin", json={"worker": worker}).json
        if state["state"] == "refused":
            break
        token = browser.get_cookie(COOKIE + study.identity).value
        algorithm, _ = store.due(token)
        rng = np.random.default_rng([seed, number])
        rate = ability.rate(algorithm, rng)
        while state["state"] == "pair":
            _, trial = store.due(token)
            is_wrong = rng.random() < (ability.inattention if trial.kind == GOLDEN else rate)
            choice = SIDES[(trial.truth_side == "right") != is_wrong]
            body = {"number": state["number"], "choice": choice, "response_ms": 0}
            body["exposure_ms"] = study.protocol.exposure_ms
            state = browser.post("/api/answer", json=body).json
            answers += 1
        progress(answers)
    store.close()
    return number, answers
