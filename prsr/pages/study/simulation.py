"""Simulates workers of known ability: runs the study over HTTP, plans how many it needs."""

import concurrent.futures
import contextlib
import dataclasses
import http.client
import itertools
import json
import math
import subprocess
import sys
import threading
import time
import urllib.parse

import numpy as np

from prsr.evaluation import tables
from prsr.pages.study.directory import TRUTH
from prsr.pages.study.server import COOKIE
from prsr.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Ability:
    """How a population of workers answers.

    Attributes:
        fooled: dict from an algorithm's key to the mean share of fooled answers.
        spread: standard deviation of that share between workers.
        inattention: probability of missing a golden pair.
    """

    fooled: dict
    spread: float = 0.05
    inattention: float = 0.01

    def draw(self, key, rng):
        """Draws one worker's share, Beta distributed with this mean and deviation."""
        return draw_rates(self.fooled[key], self.spread, rng)


def draw_rates(mean, spread, rng, size=None):
    """Draws workers' shares of fooled answers from a Beta distribution.

    Args:
        mean: 0 to 1.
        spread: standard deviation between workers; less than sqrt(mean (1 - mean)).
        rng: `np.random.Generator`.
        size: shape of the result, or None for a float.
    """
    if not spread or mean in (0, 1):
        return mean if size is None else np.full(size, mean)
    concentration = mean * (1 - mean) / spread**2 - 1
    return rng.beta(mean * concentration, (1 - mean) * concentration, size)


def fooled_shares(algorithms, given, spread):
    """How often workers are fooled: as given, or else as in the paper.

    Args:
        algorithms: list of `prsr.pages.study.directory.Algorithm`.
        given: list of `METHOD=PERCENT`; `METHOD` may be an algorithm's key.
        spread: standard deviation between workers, 0 to 1.

    Returns:
        A dict from each algorithm's key to its share, 0 to 1.

    Raises:
        UserError: an entry is invalid or missing, or the spread is too large.
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


class Client:
    """One browser: a persistent connection, a cookie, and patience with the server.

    Args:
        url: of the server.
        patience: seconds to keep retrying while the server does not answer.
    """

    def __init__(self, url, patience=0.0):
        self._host = urllib.parse.urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(self._host, timeout=60)
        self._patience = patience
        self._headers = {"Content-Type": "application/json"}
        self.slowest, self.requests = 0.0, 0

    def ask(self, path, body=None):
        """Sends a request (POST if it has a body) until it is answered.

        Returns:
            The status, and the content: decoded JSON, or bytes.

        Raises:
            OSError, http.client.HTTPException: there was no answer for longer than `patience`.
        """
        give_up = time.monotonic() + self._patience
        while True:
            start = time.monotonic()
            try:
                self._connection.request(
                    "GET" if body is None else "POST",
                    path,
                    None if body is None else json.dumps(body),
                    self._headers,
                )
                response = self._connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException):
                self._connection.close()
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)
                continue
            self.slowest = max(self.slowest, time.monotonic() - start)
            self.requests += 1
            cookie = response.headers.get("Set-Cookie", "")
            if cookie.startswith(COOKIE):
                self._headers["Cookie"] = cookie.split(";")[0]
            if response.headers.get_content_type() == "application/json":
                return response.status, json.loads(content)
            return response.status, content

    def authorize(self, token):
        """Sends the admin page's token from now on, and returns the client."""
        self._headers["Authorization"] = f"Bearer {token}"
        return self

    def close(self):
        self._connection.close()


class Recognizer:
    """Tells an image's origin from its bytes. The server hides it; the study's files show it.

    Args:
        study: a `prsr.pages.study.directory.Study`.
    """

    def __init__(self, study):
        self._truths, self._outputs = set(), {}
        for data in study.data_sets:
            for i in range(len(data.names)):
                self._truths.add(study.picture(data.name, TRUTH, i).read_bytes())
        for algorithm in study.algorithms:
            for i in range(study.count(algorithm.data)):
                content = study.picture(algorithm.data, algorithm.method, i).read_bytes()
                self._outputs[content] = algorithm.key

    def truth(self, image):
        return image in self._truths

    def algorithm(self, image):
        """Key of the algorithm that made an image; None for bicubic images and truths."""
        return self._outputs.get(image)


def work(client, name, recognizer, ability, rng, answered=lambda: None):
    """One worker's session, from the first request to the code.

    Args:
        client: a `Client`.
        name: the worker's identifier.
        recognizer: a `Recognizer`.
        ability: an `Ability`.
        rng: `np.random.Generator` of the worker.
        answered: function, called after each answer.

    Returns:
        A dict: `"state"`, `"finished"` or `"refused"` at the end; `"error"`, the server's
        message or None; and `"given"`, the acknowledged answers as `(number, choice)`.
    """
    given, rate = [], None
    client.ask(f"/api/state?worker={name}")
    status, state = client.ask("/api/begin", {"worker": name})
    while status == 200 and state["state"] == "pair":
        images = {side: client.ask(f"/api/image/{state[side]}")[1] for side in ("left", "right")}
        time.sleep(state["exposure_ms"] / 1000)
        truth = next(side for side, image in images.items() if recognizer.truth(image))
        other = "right" if truth == "left" else "left"
        key = recognizer.algorithm(images[other])
        if key is None:
            wrong = rng.random() < ability.inattention
        else:
            rate = ability.draw(key, rng) if rate is None else rate
            wrong = rng.random() < rate
        choice = other if wrong else truth
        number = state["number"]
        body = {"number": number, "choice": choice, "exposure_ms": state["exposure_ms"]}
        status, state = client.ask("/api/answer", {**body, "response_ms": 0})
        if status == 409:  # saved before the connection broke
            status, state = client.ask(f"/api/state?worker={name}")
        given.append((number, choice))
        answered()
    return {"state": state.get("state"), "error": state.get("error"), "given": given}


def start_server(study, port=0):
    """Serves a study in its own process.

    Args:
        study: a `prsr.pages.study.directory.Study`.
        port: to listen on; 0 for any free one.

    Returns:
        The `subprocess.Popen`, and the address, `http://...`.

    Raises:
        UserError: the server could not start.
    """
    command = [sys.executable, "-m", "prsr.study", "serve"]
    command += [f"--study={study.path}", f"--port={port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    if not line:
        process.wait()
        raise UserError("the server could not start; see its message above")
    return process, line.split()[-1]


@contextlib.contextmanager
def server(study, port=0):
    """Context manager around `start_server`; yields the address."""
    process, url = start_server(study, port)
    try:
        yield url
    finally:
        process.terminate()
        process.wait()


def run(url, study, ability, concurrency, seed, progress=lambda answers: None):
    """Sends workers until every place is filled.

    Args:
        url: of the study's server.
        study: a `prsr.pages.study.directory.Study`.
        ability: an `Ability`.
        concurrency: workers at once.
        seed: of the workers.
        progress: function, called about once a second with the number of answers so far.

    Returns:
        A dict: `"workers"` who finished, `"answers"` and `"requests"` of all, `"seconds"`, and
        `"slowest_seconds"`, the time of the slowest request.

    Raises:
        RuntimeError: a worker got an error.
    """
    recognizer, full = Recognizer(study), threading.Event()
    lock, numbers = threading.Lock(), itertools.count()
    result = {"workers": 0, "answers": 0, "requests": 0, "slowest_seconds": 0.0}
    start = time.monotonic()

    def one_after_another():
        while not full.is_set():
            with lock:
                number = next(numbers)
            client = Client(url)
            rng = np.random.default_rng([seed, number])
            outcome = work(client, f"simulated-{number}", recognizer, ability, rng, count)
            client.close()
            with lock:
                result["workers"] += outcome["state"] == "finished"
                result["requests"] += client.requests
                result["slowest_seconds"] = max(result["slowest_seconds"], client.slowest)
            if outcome["state"] == "refused":
                full.wait(2)  # a place becomes free if a worker misses a golden pair
            elif outcome["state"] != "finished":
                raise RuntimeError(f"worker {number} got an error: {outcome['error']}")

    def count():
        with lock:
            result["answers"] += 1

    admin = Client(url).authorize(study.admin_token())
    with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
        running = [pool.submit(one_after_another) for _ in range(concurrency)]
        while not full.is_set():
            done, _ = concurrent.futures.wait(running, 1, concurrent.futures.FIRST_EXCEPTION)
            progress(result["answers"])
            rows = admin.ask("/api/progress")[1]["algorithms"]
            if done or all(row["kept"] >= row["places"] for row in rows):
                full.set()
        for future in running:
            future.result()
    admin.close()
    return {**result, "seconds": time.monotonic() - start}


def expectation(ability, key, workers, pairs, rng, studies=2000):
    """Simulates what a study would find if it were repeated many times.

    Args:
        ability: an `Ability`.
        key: of the algorithm.
        workers: how many are kept.
        pairs: answers per worker.
        rng: `np.random.Generator`.
        studies: number of repetitions.

    Returns:
        `[studies]` arrays: the mean share of fooled answers, and its standard error between
        workers.
    """
    rates = draw_rates(ability.fooled[key], ability.spread, rng, (studies, workers))
    shares = rng.binomial(pairs, rates) / pairs
    return shares.mean(axis=1), shares.std(axis=1, ddof=1) / math.sqrt(workers)


def plan_markdown(study, ability, seed, counts=(10, 20, 40, 80, 160)):
    """How many workers a study needs, as Markdown.

    Args:
        study: a `prsr.pages.study.directory.Study`.
        ability: an `Ability`.
        seed: of the draws.
        counts: numbers of workers per algorithm.

    Returns:
        A table: the expected standard error of each algorithm, in percent, and how often the
        difference between neighbours, ranked by share within a data set, exceeds 1.96 of its
        standard errors.
    """
    rng = np.random.default_rng(seed)
    several = len(study.data_sets) > 1
    titles = {a.key: f"{a.data}: {a.title}" if several else a.title for a in study.algorithms}
    ranked, neighbours = [], []
    for data in study.data_sets:
        own = [algorithm.key for algorithm in study.algorithms if algorithm.data == data.name]
        own.sort(key=ability.fooled.get)
        ranked += own
        neighbours += zip(own, own[1:])
    head = ["workers", *(f"error, {titles[key]}" for key in ranked)]
    head += [f"{titles[low]} below {titles[high]}" for low, high in neighbours]
    rows = []
    for workers in counts:
        found = {
            key: expectation(ability, key, workers, study.protocol.pairs, rng) for key in ranked
        }
        cells = [workers, *(f"{100 * found[key][1].mean():.1f}" for key in ranked)]
        for low, high in neighbours:
            error = np.hypot(found[low][1], found[high][1])
            cells.append(f"{np.mean(found[high][0] - found[low][0] > 1.96 * error):.0%}")
        rows.append(cells)
    return tables.to_markdown(head, rows)
