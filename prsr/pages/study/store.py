"""Sessions and answers, in SQLite: the one place that decides what may happen next.

A session's plan follows from its place and its seed; answers are appended. Every change is one
transaction, on disk before the call returns, so the server may be killed at any moment.
"""

import collections
import contextlib
import secrets
import sqlite3
import threading
import time

from prsr.pages.study.directory import BICUBIC, TRUTH
from prsr.pages.study.protocol import GOLDEN, PAIR, PRACTICE, SIDES, counted_images, plan
from prsr.system.errors import UserError, first_line

_LAYOUT = 2  # of the tables; 1 was version 0.2's
_SCHEMA = """
CREATE TABLE study (identity TEXT NOT NULL);
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    token TEXT NOT NULL UNIQUE,
    worker TEXT NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    place INTEGER NOT NULL,
    seed TEXT NOT NULL,
    code TEXT NOT NULL,
    started REAL NOT NULL,
    seen REAL NOT NULL,
    shown REAL,
    views INTEGER NOT NULL DEFAULT 0,
    missed INTEGER NOT NULL DEFAULT FALSE,
    finished REAL
);
CREATE TABLE answers (
    session INTEGER NOT NULL REFERENCES sessions,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    image INTEGER NOT NULL,
    truth_side TEXT NOT NULL,
    choice TEXT NOT NULL,
    exposure_ms REAL NOT NULL,
    response_ms REAL NOT NULL,
    exposures INTEGER NOT NULL,
    views INTEGER NOT NULL,
    answered REAL NOT NULL,
    PRIMARY KEY (session, number)
) WITHOUT ROWID;
"""

# Finished, or heard from since the time bound to `?`; and missed no golden pair so far.
_HOLDS_A_PLACE = "NOT missed AND (finished IS NOT NULL OR seen > ?)"

AHEAD = 2  # pairs whose images a page may load in advance
_EARLY = 0.95  # of the exposure: the page's clock and ours differ a little


class Refused(Exception):
    """The worker may not do that; the message tells the worker why."""


class OutOfStep(Exception):
    """An answer to a pair that is not due, such as one sent twice, or an answer too early."""


@contextlib.contextmanager
def _readable(path):
    """Turns SQLite's errors about a damaged file into one line for the user."""
    try:
        yield
    except sqlite3.Error as error:
        raise UserError(
            f"'{path}' cannot be used ({first_line(error)}); it must be a writable database that "
            f"python -m prsr.study serve made"
        ) from error


class Store:
    """The sessions of one study; its database is created if necessary.

    Another worker may take a place after `abandoned_after` seconds of silence. Raises UserError if
    the database is damaged, another study's or another version's, or cannot be written to.
    """

    def __init__(self, study, abandoned_after=1800.0, clock=time.time):
        self.study, self.protocol = study, study.protocol
        self.abandoned_after, self.clock = abandoned_after, clock
        self._counted = {
            key: counted_images(self.protocol, count, f"{study.identity} {key}")
            for key, count in study.counts.items()
        }
        self._lock = threading.Lock()
        with _readable(study.answers):
            self._database = sqlite3.connect(
                study.answers, isolation_level=None, timeout=30, check_same_thread=False
            )
            self._database.row_factory = sqlite3.Row
            self._execute = self._database.execute
            # A copy of the file has every answer: none waits in another file, as with WAL.
            self._execute("PRAGMA journal_mode = DELETE")
            # On disk, not only in the cache; simulated answers can be made again.
            self._execute(f"PRAGMA synchronous = {'OFF' if study.simulated else 'EXTRA'}")
            with self._transaction():
                if self._execute("SELECT 1 FROM sqlite_master").fetchone() is None:
                    for statement in _SCHEMA.split(";"):
                        self._execute(statement)
                    self._execute(f"PRAGMA user_version = {_LAYOUT}")
                    self._execute("INSERT INTO study VALUES (?)", [study.identity])
                _check_database(self._database, study)
                # Nobody could be heard while no server ran: that time is not silence.
                self._execute(
                    "UPDATE sessions SET seen = ? WHERE finished IS NULL "
                    "AND seen > (SELECT max(seen) FROM sessions) - ?",
                    [self.clock(), self.abandoned_after],
                )

    def close(self):
        self._database.close()

    @contextlib.contextmanager
    def _transaction(self):
        with self._lock:
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # SQLite ends it itself when the disk is full
                    self._execute("ROLLBACK")
                raise

    def begin(self, token, worker):
        """Gives a new worker (None: anonymous) a place in the algorithm with the fewest workers.

        `token` is a new secret for the worker's browser. With one that has begun already, this is
        `state`, so a browser that missed the reply may ask again. Raises Refused if the worker
        has taken part before, or no place is free.
        """
        worker = secrets.token_urlsafe(16) if worker is None else worker
        with self._transaction():
            if self._session(token):
                self._returning(token)
                return self._due(token)
            if self._execute("SELECT 1 FROM sessions WHERE worker = ?", [worker]).fetchone():
                raise Refused(
                    "This identifier has already taken part, and everyone may take part only once. "
                    "If you began in another browser, continue there."
                )
            algorithm, place = self._free_place()
            now, seed, code = self.clock(), secrets.token_hex(16), secrets.token_hex(4).upper()
            self._execute(
                "INSERT INTO sessions (token, worker, algorithm, place, seed, code, started, seen) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [token, worker, algorithm, place, seed, code, now, now],
            )
            return self._due(token)

    def _held(self):
        """The places that are held, a set of `(algorithm, place)`."""
        silent = self.clock() - self.abandoned_after
        sql = f"SELECT algorithm, place FROM sessions WHERE {_HOLDS_A_PLACE}"
        return set(map(tuple, self._execute(sql, [silent])))

    def _free_place(self):
        """Chooses the `(algorithm, place)` of a new worker."""
        held, workers = self._held(), self.protocol.workers
        taken = collections.Counter(algorithm for algorithm, _ in held)
        fewest = min(taken[algorithm] for algorithm in self._counted)
        if fewest >= workers:
            raise Refused("All places are taken. Thank you for your interest.")
        algorithm = secrets.choice([key for key in self._counted if taken[key] == fewest])
        # An abandoned place comes last: its worker may return.
        sql = "SELECT algorithm, place FROM sessions WHERE NOT missed"
        may_return = set(map(tuple, self._execute(sql)))
        free = {(algorithm, place) for place in range(workers)} - held
        return min(free, key=lambda place: (place in may_return, place))

    def worker(self, token):
        """The worker of a session, or None."""
        with self._lock:
            session = self._session(token)
            return session and session["worker"]

    def _session(self, token):
        """A session's row, with `number`, the number of the pair that is due; or None."""
        return self._execute(
            "SELECT *, (SELECT count(*) FROM answers WHERE session = id) AS number "
            "FROM sessions WHERE token = ?",
            [token],
        ).fetchone()

    def _trials(self, session):
        """A session's plan, a list of `prsr.pages.study.protocol.Trial`."""
        algorithm = session["algorithm"]
        counted, count = self._counted[algorithm], self.study.counts[algorithm]
        return plan(self.protocol, counted[session["place"]], count, session["seed"])

    def due(self, token):
        """What only the server knows of the pair that is due: `(algorithm's key, Trial)`."""
        with self._lock:
            session = self._session(token)
        return session["algorithm"], self._trials(session)[session["number"]]

    def state(self, token):
        """What a session's page should show now, a dict for JSON.

        Either `{"state": "finished", "code": ...}` or the pair that is due, which then counts as
        shown. Raises Refused if there is no such session, or its place was given away.
        """
        with self._transaction():
            self._returning(token)
            return self._due(token)

    def _returning(self, token):
        """Admits a worker who has begun; returns the session's row."""
        session, now = self._session(token), self.clock()
        if session is None:
            raise Refused("There is no such session.")
        is_silent = session["finished"] is None and session["seen"] <= now - self.abandoned_after
        place = session["algorithm"], session["place"]
        if is_silent and not session["missed"] and place in self._held():
            raise Refused("You were away too long, and another person took your place.")
        self._execute("UPDATE sessions SET seen = ? WHERE id = ?", [now, session["id"]])
        return session

    def _due(self, token):
        session, protocol = self._session(token), self.protocol
        if session["finished"] is not None:
            return {"state": "finished", "code": session["code"]}
        self._execute(
            "UPDATE sessions SET shown = coalesce(shown, ?), views = views + 1 WHERE id = ?",
            [self.clock(), session["id"]],
        )
        number = session["number"]
        practice = number < protocol.practice
        return {
            "state": "pair",
            "number": number,
            "practice": practice,
            "position": number + 1 - (0 if practice else protocol.practice),
            "of": protocol.practice if practice else protocol.pairs + protocol.golden,
            "exposure_ms": protocol.exposure_ms,
            "ahead": min(AHEAD, protocol.images - 1 - number),
        }

    def answer(self, token, number, choice, exposure_ms, response_ms, exposures=1):
        """Saves the choice, one of `SIDES`, for the pair `number`, and returns the next `state`.

        The page measures how long it showed the pair, how long the worker then needed, both in
        ms, and how many times it showed it. After a practice pair, the result also has
        `"correct"`. Raises Refused as `state` does, and OutOfStep if another pair is due or this
        one was not shown for long enough.
        """
        with self._transaction():
            session, now = self._returning(token), self.clock()
            if not number == session["number"] < self.protocol.images:
                raise OutOfStep("another pair is due")
            # If the clock was set back in between, the difference proves nothing.
            if 0 <= now - session["shown"] < _EARLY * self.protocol.exposure_ms / 1000:
                raise OutOfStep("this pair was not shown for long enough")
            trial = self._trials(session)[number]
            times = [exposure_ms, response_ms, exposures, session["views"], now]
            self._execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [session["id"], number, *trial, choice, *times],
            )
            is_correct = choice == trial.truth_side
            self._execute(
                "UPDATE sessions SET missed = missed OR ?, finished = ?, shown = NULL, views = 0 "
                "WHERE id = ?",
                [
                    trial.kind == GOLDEN and not is_correct,
                    now if number == self.protocol.images - 1 else None,
                    session["id"],
                ],
            )
            result = self._due(token)
            return {**result, "correct": is_correct} if trial.kind == PRACTICE else result

    def picture(self, token, number, side):
        """The path of an image that a session's page may load now, or None."""
        with self._lock:
            session = self._session(token)
        if session is None or side not in SIDES or number >= self.protocol.images:
            return None
        if not 0 <= number - session["number"] <= AHEAD:
            return None
        trial = self._trials(session)[number]
        data, method = session["algorithm"].split("/")
        other = BICUBIC if trial.kind == GOLDEN else method
        return self.study.picture(data, TRUTH if side == trial.truth_side else other, trial.image)

    def progress(self):
        """Counts of sessions and counted answers, a dict for each algorithm's key.

        Among `answers`, the original was on the left in `truth_left`.
        """
        names = ("kept", "missed", "active", "abandoned")
        names += ("answers", "fooled", "truth_left", "left_chosen")
        zeros = {**dict.fromkeys(names, 0), "places": self.protocol.workers}
        counts = {key: dict(zeros) for key in self._counted}
        with self._lock:
            for algorithm, status, count in self._execute(
                "SELECT algorithm, CASE WHEN missed THEN 'missed' WHEN finished IS NOT NULL "
                "THEN 'kept' WHEN seen > ? THEN 'active' ELSE 'abandoned' END, count(*) "
                "FROM sessions GROUP BY 1, 2",
                [self.clock() - self.abandoned_after],
            ):
                counts[algorithm][status] = count
            for algorithm, *values in self._execute(
                "SELECT algorithm, count(*), sum(choice != truth_side), sum(truth_side = 'left'), "
                "sum(choice = 'left') FROM sessions JOIN answers ON session = id "
                "WHERE kind = ? AND NOT missed AND finished IS NOT NULL GROUP BY 1",
                [PAIR],
            ):
                counts[algorithm].update(zip(names[4:], values))
        return counts


def _check_database(database, study):
    """Checks that a database has this version's tables and belongs to a study."""
    if database.execute("PRAGMA user_version").fetchone()[0] != _LAYOUT:
        raise UserError(
            f"'{study.answers}' was written by another version of this program; use that version "
            f"to continue or report it, or prepare a new study in another directory"
        )
    if database.execute("SELECT identity FROM study").fetchone()[0] != study.identity:
        raise UserError(
            f"'{study.answers}' holds the answers of another study, not of "
            f"'{study.path / 'study.json'}'; put files of the same study together"
        )


def read(study):
    """Reads every session with its answers, without disturbing a running server.

    Returns a list of dicts: the columns of a session, and under `"answers"` a list of dicts of
    the columns of its answers, in order. Raises UserError if nobody has taken part yet, or as
    `Store`.
    """
    path = study.answers
    if not path.exists():
        raise UserError(f"'{path}' does not exist: nobody has taken part yet")
    with _readable(path), contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
        database.row_factory = sqlite3.Row
        database.execute("BEGIN")  # both tables as of one moment
        _check_database(database, study)
        sessions = {
            row["id"]: {**dict(row), "answers": []}
            for row in database.execute("SELECT * FROM sessions ORDER BY id")
        }
        for row in database.execute("SELECT * FROM answers ORDER BY session, number"):
            sessions[row["session"]]["answers"].append(dict(row))
    return list(sessions.values())
