"""The web server that this package's pages share: a Flask application served by waitress."""

import contextlib
import re
import signal
import socket
import sys

from prsr.system.errors import UserError, first_line

try:
    import flask
    import waitress
    from werkzeug.exceptions import HTTPException
except ImportError as error:
    raise UserError(
        f"the server needs {error.name}: pip install -e '.[web]' installs it"
    ) from error

_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors "
)
_ORIGIN = re.compile(r"https?://(\*\.)?[A-Za-z0-9.:[\]-]+")
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SMALL_BODY = 65536
_MAX_RESPONSE = 2**26


def application(name, max_bytes, framed_by=()):
    """Makes a `flask.Flask` that serves static/ of the package `name`, with safe headers.

    A request's body has at most `max_bytes`; errors are JSON, `{"error": words}`. `framed_by` are
    the only origins that may show the page in a frame, such as `"https://*.example.org"`. Raises
    `UserError` if one is not an origin.
    """
    for origin in framed_by:
        if not _ORIGIN.fullmatch(origin):
            raise UserError(
                f"allow_framing_by expects origins such as https://example.org, without a path; "
                f"got '{origin}'"
            )
    policy = _POLICY + (" ".join(framed_by) or "'none'")
    app = flask.Flask(name, static_folder="static", static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = max_bytes
    app.json.sort_keys = False

    @app.get("/")
    def page():
        return app.send_static_file("index.html")

    @app.errorhandler(HTTPException)
    def http_error(error):
        return {"error": error.description}, error.code

    @app.after_request
    def headers(response):
        response.headers.update(_HEADERS)
        response.headers["Content-Security-Policy"] = policy
        return response

    return app


@contextlib.contextmanager
def listening(app, host, port, connections=800):
    """Opens the port of an application; 0 is any free one.

    Yields the address for a browser, and a function that serves until SIGINT or SIGTERM.
    `connections` is the most at a time: a browser opens several, and systems allow a process 1,024
    or fewer. Raises `UserError` if the address is unusable.
    """
    # Flask rejects a body that is too large with a message; waitress rejects a much larger one
    # without a message. Above these sizes, waitress would write to files.
    max_body = max(_SMALL_BODY, 2 * app.config["MAX_CONTENT_LENGTH"])
    try:
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0]
        server = waitress.create_server(
            app,
            host=resolved,
            port=port,
            threads=8,
            connection_limit=connections,
            asyncore_use_poll=True,  # select() is limited to 1,024
            backlog=1024,
            max_request_body_size=max_body,
            inbuf_overflow=max_body,
            outbuf_overflow=_MAX_RESPONSE,
            max_request_header_size=16384,
            ident=None,
        )
    except OSError as error:
        raise UserError(
            f"cannot listen at {host}:{port} ({first_line(error)}); choose another host or port"
        ) from error
    # Exiting ends waitress's loop, and whatever runs before it.
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: sys.exit(0)) for number in signals}
    name = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    try:
        yield f"http://{name}:{server.effective_port}/", server.run
    finally:
        server.close()
        for number, handler in before.items():
            signal.signal(number, handler)
