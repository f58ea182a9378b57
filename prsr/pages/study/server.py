"""The study's web server. The page knows only what it shows."""

import hmac
import re
import secrets
import sqlite3
import sys

import flask

from prsr.pages import web
from prsr.pages.study.protocol import QUESTION, SIDES
from prsr.pages.study.store import OutOfStep, Refused

COOKIE = "prsr_study_"  # followed by the study's identity: one host may serve several
_COOKIE_SECONDS = 400 * 24 * 3600  # browsers allow no more
# A spreadsheet would take a cell of workers.csv that begins with a sign for a formula.
_WORKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_NO_COOKIES = (
    "This browser does not keep cookies for this page. Without one, we cannot tell your answers "
    "from other people's. Allow cookies for this page, or use another browser, and try again."
)
_MAX_MS = 24 * 3600 * 1000


def create_app(study, store, require_worker_id=False, framed_by=()):
    """Makes a `flask.Flask` for a `Study` and its `Store`: the pages and their API.

    GET  /                the page; `?worker=ID` names the worker
    GET  /api/state       what to show now: a pair, the end, or a new worker's consent form
    POST /api/begin       {"worker": ID or null}
    POST /api/answer      {"number", "choice", "exposure_ms", "response_ms", "exposures"}
    GET  /api/image/NUMBER/SIDE  a PNG
    GET  /admin           the page of the study's progress
    GET  /api/progress    its counts; needs `Authorization: Bearer TOKEN`

    `require_worker_id` admits only links that name a worker; `framed_by` is as in
    `prsr.pages.web.application`. In a frame, browsers keep cookies only over HTTPS.
    """
    app = web.application("prsr.pages.study", 2048, framed_by)
    admin_token, consent = study.admin_token(), study.consent()
    cookie = COOKIE + study.identity

    def token():
        return flask.request.cookies.get(cookie, "")

    def has_secret():
        """Whether the browser kept the cookie that came with the first response."""
        return _TOKEN.fullmatch(token()) is not None

    def with_cookie(body, value):
        """A response that gives the browser its secret."""
        response = flask.jsonify(body)
        response.set_cookie(
            cookie,
            value,
            max_age=_COOKIE_SECONDS,
            httponly=True,
            samesite="None" if framed_by else "Strict",
            secure=bool(framed_by) or flask.request.is_secure,
            partitioned=bool(framed_by),
        )
        return response

    def check_worker(worker):
        """Rejects invalid or missing identifiers, and a second worker in the same browser."""
        if worker is not None and not (isinstance(worker, str) and _WORKER.fullmatch(worker)):
            flask.abort(400, "a worker's identifier is 1 to 128 letters, digits and . _ : @ -")
        known = store.worker(token())
        if known is not None and worker not in (None, known):
            raise Refused("Someone has already taken part in this browser.")
        if known is None and worker is None and require_worker_id:
            raise Refused("Please use the link you were given; it contains your identifier.")
        return known

    @app.get("/admin")
    def admin_page():
        return app.send_static_file("admin.html")

    @app.get("/api/state")
    def state():
        if check_worker(flask.request.args.get("worker")) is not None:
            return {**store.state(token()), "enlarge": study.enlarge, "question": QUESTION}
        body = {
            "state": "new",
            "consent": consent,
            "question": QUESTION,
            "enlarge": study.enlarge,
            "practice": study.protocol.practice,
            "pairs": study.protocol.pairs + study.protocol.golden,
            "keeps_cookies": has_secret(),
        }
        # Set before the session begins, so a browser that misses the reply to /api/begin is known.
        return with_cookie(body, token() if has_secret() else secrets.token_urlsafe(32))

    @app.post("/api/begin")
    def begin():
        worker = _json_body().get("worker")
        check_worker(worker)
        if not has_secret():  # its answers would lack one too, so its place would be wasted
            raise Refused(_NO_COOKIES)
        return with_cookie(store.begin(token(), worker), token())

    @app.post("/api/answer")
    def answer():
        body = _json_body()
        number, choice = body.get("number"), body.get("choice")
        if type(number) is not int or choice not in SIDES:
            flask.abort(400, "expected an integer number and a choice of left or right")
        times = [_json_milliseconds(body, name) for name in ("exposure_ms", "response_ms")]
        exposures = body.get("exposures", 1)
        if type(exposures) is not int or not 1 <= exposures <= 1000:
            flask.abort(400, "expected exposures, an integer of 1 or more")
        return store.answer(token(), number, choice, *times, exposures)

    @app.get("/api/image/<int:number>/<side>")
    def image(number, side):
        path = store.picture(token(), number, side)
        if path is None:
            flask.abort(404, "no such image now")
        return flask.Response(path.read_bytes(), mimetype="image/png")

    @app.get("/api/progress")
    def progress():
        given = flask.request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {admin_token}".encode()):
            flask.abort(403, "the admin page needs the token in its address: /admin#TOKEN")
        counts = store.progress()
        return {
            "algorithms": [
                {"title": a.title, "data": a.data, **counts[a.key]} for a in study.algorithms
            ]
        }

    @app.errorhandler(Refused)
    def refused(error):
        return {"state": "refused", "error": str(error)}, 403

    @app.errorhandler(OutOfStep)
    def out_of_step(error):
        return {"error": str(error)}, 409

    @app.errorhandler(sqlite3.Error)
    @app.errorhandler(OSError)
    def not_kept(error):
        print(f"error: {error}", file=sys.stderr)
        return {"error": "this could not be done just now; nothing was changed, so try again"}, 503

    return app


def _json_body():
    try:
        body = flask.request.get_json(silent=True)
    except RecursionError:
        body = None
    if not isinstance(body, dict):
        flask.abort(400, "expected a JSON object")
    return body


def _json_milliseconds(body, name):
    value = body.get(name)
    if type(value) not in (int, float) or not 0 <= value <= _MAX_MS:  # not NaN either
        flask.abort(400, f"expected {name} in milliseconds")
    return float(value)
