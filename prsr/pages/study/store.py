"""Sessions and answers, in SQLite: the one place that decides what may happen next.

Every change is one transaction, committed to disk before the call returns, so the server
may be killed at any moment.
"""

import contextlib
import dataclasses
import secrets
import sqlite3
import threading
import time

import numpy as np

from prsr.pages.study.protocol import GOLDEN, PAIR, PRACTICE, SIDES, plan
from prsr.system.errors import UserError, first_line

_SCHEMA = """
CREATE TABLE IF NOT EXISTS study (identity TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS sessions (
    id INTEGER PRIMARY KEY,
    token TEXT NOT NULL UNIQUE,
    worker TEXT NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    started REAL NOT NULL,
    seen REAL NOT NULL,
    finished REAL,
    code TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS trials (
    session INTEGER NOT NULL REFERENCES sessions,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    image INTEGER NOT NULL,
    truth_side TEXT NOT NULL,
    left_id TEXT NOT NULL UNIQUE,
    right_id TEXT NOT NULL UNIQUE,
    served REAL,
    views INTEGER NOT NULL DEFAULT 0,
    exposures INTEGER,
    choice TEXT CHECK (choice IN ('left', 'right')),
    exposure_ms REAL,
    response_ms REAL,
    answered REAL,
    PRIMARY KEY (session, number)
) WITHOUT ROWID;
"""

_MISSED = f"""EXISTS (SELECT 1 FROM trials AS t WHERE t.session = sessions.id
    AND t.kind = '{GOLDEN}' AND t.choice != t.truth_side)"""
# Finished, or heard from since the time bound to `?`; and missed no golden pair so far.
_HOLDS_A_PLACE = f"NOT {_MISSED} AND (finished IS NOT NULL OR seen > ?)"

AHEAD = 2  # pairs whose images a page may load in advance
_EARLY = 0.95  # of the exposure: the page's clock and ours differ a little


class Refused(Exception):
    """The worker may not do that; the message tells the worker why."""


class OutOfStep(Exception):
    """An answer to a pair that is not due, such as one sent twice, or an answer too early."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """The image behind an address: the one numbered `number`, as the original if `truth`, else
    the bicubic version if `golden`, else the output of the session's algorithm."""

    algorithm: str
    number: int
    golden: bool
    truth: bool


@contextlib.contextmanager
def _readable(path):
    """Turns what SQLite says of a damaged file into one line for the user."""
    try:
        yield
    except sqlite3.Error as error:
        raise UserError(
            f"'{path}' cannot be used ({first_line(error)}); it must be a writable database that "
            f"python -m prsr.study serve made"
        ) from error


class Store:
    """The sessions of one study.

    Args:
        study: a `prsr.pages.study.directory.Study`; its database is created if necessary.
        abandoned_after: seconds of silence after which another worker may take the place.
        clock: function that returns seconds since the epoch.

    Raises:
        UserError: the database is damaged, belongs to another study, or cannot be written to.
    """

    def __init__(self, study, abandoned_after=1800.0, clock=time.time):
        self.protocol, self.images = study.protocol, study.counts
        self.abandoned_after, self.clock = abandoned_after, clock
        self._rng = np.random.default_rng()
        self._lock = threading.Lock()
        with _readable(study.answers):
            self._database = sqlite3.connect(
                study.answers, isolation_level=None, timeout=30, check_same_thread=False
            )
            self._database.row_factory = sqlite3.Row
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")  # on disk, not only in the cache
            self._database.executescript(_SCHEMA)
            with self._transaction() as database:
                database.execute(
                    "INSERT INTO study SELECT ? WHERE NOT EXISTS (SELECT 1 FROM study)",
                    [study.identity],
                )
                # Nobody could be heard while no server ran: that time is not silence.
                database.execute(
                    "UPDATE sessions SET seen = ? WHERE finished IS NULL "
                    "AND seen > (SELECT max(seen) FROM sessions) - ?",
                    [self.clock(), self.abandoned_after],
                )
        _check_identity(self._database, study)

    def close(self):
        self._database.close()

    @contextlib.contextmanager
    def _transaction(self):
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # SQLite ends it itself when the disk is full
                    self._database.execute("ROLLBACK")
                raise

    def begin(self, token, worker):
        """Gives a new worker a place in the algorithm with the fewest; ties are broken at random.

        Args:
            token: a new secret for the worker's browser, `new_token()`. With one that has begun
                already, this is `state`, so a browser that missed the reply may ask again.
            worker: the recruiting platform's identifier, or None for an anonymous worker.

        Returns:
            What `state` returns.

        Raises:
            Refused: the worker has taken part before, or no place is free.
        """
        worker = secrets.token_urlsafe(16) if worker is None else worker
        with self._transaction() as database:
            if self._session(token):
                return self._due(database, self._returning(database, token))
            if database.execute("SELECT 1 FROM sessions WHERE worker = ?", [worker]).fetchone():
                raise Refused(
                    "This identifier has already taken part, and everyone may take part only once. "
                    "If you began in another browser, continue there."
                )
            taken = self._taken(database)
            fewest = min(taken.values())
            if fewest >= self.protocol.workers:
                raise Refused("All places are taken. Thank you for your interest.")
            free = [key for key, count in taken.items() if count == fewest]
            algorithm = free[self._rng.integers(len(free))]
            now = self.clock()
            session = database.execute(
                "INSERT INTO sessions (token, worker, algorithm, started, seen, code) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [token, worker, algorithm, now, now, secrets.token_hex(4).upper()],
            ).lastrowid
            trials = plan(self.protocol, self._times_shown(database, algorithm), self._rng)
            database.executemany(
                "INSERT INTO trials (session, number, kind, image, truth_side, left_id, right_id) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    [session, number, *trial, secrets.token_urlsafe(16), secrets.token_urlsafe(16)]
                    for number, trial in enumerate(trials)
                ],
            )
            return self._due(database, self._session(token))

    def _taken(self, database):
        """Number of places taken in each algorithm."""
        rows = database.execute(
            f"SELECT algorithm, count(*) FROM sessions WHERE {_HOLDS_A_PLACE} GROUP BY algorithm",
            [self.clock() - self.abandoned_after],
        )
        return {**dict.fromkeys(self.images, 0), **dict(map(tuple, rows))}

    def _times_shown(self, database, algorithm):
        times = np.zeros(self.images[algorithm], int)
        for image, count in database.execute(
            "SELECT image, count(*) FROM trials JOIN sessions ON session = id "
            f"WHERE algorithm = ? AND kind = ? AND {_HOLDS_A_PLACE} GROUP BY image",
            [algorithm, PAIR, self.clock() - self.abandoned_after],
        ):
            times[image] = count
        return times

    def worker(self, token):
        """The worker of a session, or None."""
        with self._lock:
            session = self._session(token)
            return session and session["worker"]

    def _session(self, token):
        return self._database.execute("SELECT * FROM sessions WHERE token = ?", [token]).fetchone()

    def state(self, token):
        """What a session's page should show now; a pair that is returned counts as shown.

        Args:
            token: of the session.

        Returns:
            A dict for JSON: `{"state": "finished", "code": ...}` or the pair that is due.

        Raises:
            Refused: there is no such session, or its place was given away.
        """
        with self._transaction() as database:
            session = self._returning(database, token)
            return self._due(database, session)

    def _returning(self, database, token):
        session = self._session(token)
        if session is None:
            raise Refused("There is no such session.")
        now = self.clock()
        if session["finished"] is None and now - session["seen"] > self.abandoned_after:
            missed = database.execute(
                f"SELECT {_MISSED} FROM sessions WHERE id = ?", [session["id"]]
            ).fetchone()[0]
            places = self.protocol.workers
            if not missed and self._taken(database)[session["algorithm"]] >= places:
                raise Refused("You were away too long, and another person took your place.")
        database.execute("UPDATE sessions SET seen = ? WHERE id = ?", [now, session["id"]])
        return session

    def _due(self, database, session):
        if session["finished"] is not None:
            return {"state": "finished", "code": session["code"]}
        rows = database.execute(
            "SELECT * FROM trials WHERE session = ? AND choice IS NULL ORDER BY number LIMIT ?",
            [session["id"], 1 + AHEAD],
        ).fetchall()
        due, protocol = rows[0], self.protocol
        database.execute(
            "UPDATE trials SET served = coalesce(served, ?), views = views + 1 "
            "WHERE session = ? AND number = ?",
            [self.clock(), session["id"], due["number"]],
        )
        practice = due["kind"] == PRACTICE
        return {
            "state": "pair",
            "number": due["number"],
            "practice": practice,
            "position": due["number"] + 1 - (0 if practice else protocol.practice),
            "of": protocol.practice if practice else protocol.pairs + protocol.golden,
            "left": due["left_id"],
            "right": due["right_id"],
            "exposure_ms": protocol.exposure_ms,
            "upcoming": [row[side] for row in rows[1:] for side in ("left_id", "right_id")],
        }

    def answer(self, token, number, choice, exposure_ms, response_ms, exposures=1):
        """Saves an answer to the pair that is due.

        Args:
            token: of the session.
            number: of the pair, as `state` gave it.
            choice: one of `prsr.pages.study.protocol.SIDES`.
            exposure_ms: how long the page showed the pair, by its own clock.
            response_ms: from then until the answer.
            exposures: how many times the page showed the pair, as it repeats one that was hidden.

        Returns:
            What `state` returns for the next pair; after a practice pair, also `"correct"`.

        Raises:
            Refused: as `state`.
            OutOfStep: another pair is due, or this one was not shown for long enough.
        """
        assert choice in SIDES
        with self._transaction() as database:
            session = self._returning(database, token)
            due = database.execute(
                "SELECT * FROM trials WHERE session = ? AND choice IS NULL ORDER BY number",
                [session["id"]],
            ).fetchone()
            if due is None or due["number"] != number:
                raise OutOfStep("another pair is due")
            now = self.clock()
            # If the clock was set back in between, the difference proves nothing.
            if 0 <= now - due["served"] < _EARLY * self.protocol.exposure_ms / 1000:
                raise OutOfStep("this pair was not shown for long enough")
            database.execute(
                "UPDATE trials SET choice = ?, exposure_ms = ?, response_ms = ?, exposures = ?, "
                "answered = ? WHERE session = ? AND number = ?",
                [choice, exposure_ms, response_ms, exposures, now, session["id"], number],
            )
            if number == self.protocol.images - 1:
                database.execute(
                    "UPDATE sessions SET finished = ? WHERE id = ?", [now, session["id"]]
                )
            result = self._due(database, self._session(token))
            if due["kind"] == PRACTICE:
                result["correct"] = choice == due["truth_side"]
            return result

    def picture(self, token, address):
        """The image behind an address, for the session that may see it now.

        Args:
            token: of the session.
            address: as `state` gave it.

        Returns:
            A `Picture`, or None.
        """
        with self._lock:
            row = self._database.execute(
                "SELECT algorithm, image, kind, truth_side, left_id FROM sessions "
                "JOIN trials ON session = id WHERE token = ? AND ? IN (left_id, right_id) "
                "AND choice IS NULL AND number <= ? + (SELECT min(number) FROM trials "
                "WHERE session = id AND choice IS NULL)",
                [token, address, AHEAD],
            ).fetchone()
        if row is None:
            return None
        side = "left" if address == row["left_id"] else "right"
        return Picture(
            row["algorithm"], row["image"], row["kind"] == GOLDEN, side == row["truth_side"]
        )

    def progress(self):
        """The study's progress, for the admin page.

        Returns:
            A dict from each algorithm's key to a dict of counts: `kept`, `missed`,
            `active`, `abandoned`, `places`; `answers` that count, and among
            them `fooled`, `truth_left` (the truth was on the left) and `left_chosen`.
        """
        quiet = self.clock() - self.abandoned_after
        counts = {
            key: {
                **dict.fromkeys(("kept", "missed", "active", "abandoned"), 0),
                "places": self.protocol.workers,
                **dict.fromkeys(("answers", "fooled", "truth_left", "left_chosen"), 0),
            }
            for key in self.images
        }
        with self._lock:
            for algorithm, status, count in self._database.execute(
                f"SELECT algorithm, CASE WHEN {_MISSED} THEN 'missed' "
                "WHEN finished IS NOT NULL THEN 'kept' WHEN seen > ? THEN 'active' "
                "ELSE 'abandoned' END AS status, count(*) FROM sessions GROUP BY 1, 2",
                [quiet],
            ):
                counts[algorithm][status] = count
            for row in self._database.execute(
                "SELECT algorithm, count(*) AS answers, sum(choice != truth_side) AS fooled, "
                "sum(truth_side = 'left') AS truth_left, sum(choice = 'left') AS left_chosen "
                f"FROM sessions JOIN trials ON session = id WHERE kind = ? AND NOT {_MISSED} "
                "AND finished IS NOT NULL GROUP BY 1",
                [PAIR],
            ):
                counts[row["algorithm"]].update(dict(zip(row.keys()[1:], tuple(row)[1:])))
        return counts


def new_token():
    """A secret that nobody can guess."""
    return secrets.token_urlsafe(32)


def _check_identity(database, study):
    if database.execute("SELECT identity FROM study").fetchone()[0] != study.identity:
        raise UserError(
            f"'{study.answers}' holds the answers of another study, not of "
            f"'{study.path / 'study.json'}'; put files of the same study together"
        )


def read(study):
    """Reads every session with its trials, without disturbing a running server.

    Args:
        study: a `prsr.pages.study.directory.Study`.

    Returns:
        A list of dicts: the columns of a session, and under `"trials"` a list of dicts of the
        columns of its trials, in order.

    Raises:
        UserError: nobody has taken part yet, or the database is damaged or another study's.
    """
    path = study.answers
    if not path.exists():
        raise UserError(f"'{path}' does not exist: nobody has taken part yet")
    with _readable(path), contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
        database.row_factory = sqlite3.Row
        _check_identity(database, study)
        database.execute("BEGIN")  # both tables as of one moment
        sessions = {
            row["id"]: {**dict(row), "trials": []}
            for row in database.execute("SELECT * FROM sessions ORDER BY id")
        }
        for row in database.execute("SELECT * FROM trials ORDER BY session, number"):
            if row["session"] in sessions:
                sessions[row["session"]]["trials"].append(dict(row))
    return list(sessions.values())
