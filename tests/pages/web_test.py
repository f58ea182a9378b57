"""The server that the pages share."""

import signal
import threading
import urllib.error
import urllib.request

import flask
import pytest

from prsr.pages import web
from prsr.system.errors import UserError


@pytest.fixture
def app():
    app = web.application("prsr.pages.demo", max_bytes=1000)

    @app.post("/echo")
    def echo():
        return flask.request.get_data()

    return app


def test_a_page_with_safe_headers(app):
    page = app.test_client().get("/")
    assert page.status_code == 200 and b"<html" in page.data
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("framed_by", [[], ["https://a.org", "https://*.b.org:8080"]])
def test_only_named_origins_may_frame_it(framed_by):
    app = web.application("prsr.pages.demo", 1000, framed_by)
    policy = "frame-ancestors " + (" ".join(framed_by) or "'none'")
    assert app.test_client().get("/").headers["Content-Security-Policy"].endswith(policy)


@pytest.mark.parametrize(
    "origin", ["*", "a.org", "https://a.org/", "'self'", "https://a.org; x", ""]
)
def test_invalid_origins_are_refused(origin):
    with pytest.raises(UserError, match="allow_framing_by"):
        web.application("prsr.pages.demo", 1000, [origin])


def test_it_answers_at_its_address_and_refuses_large_bodies(app):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with web.listening(app, "127.0.0.1", 0) as (address, answer):
        threading.Thread(target=answer, daemon=True).start()
        with urllib.request.urlopen(f"{address}echo", b"x" * 1000) as response:
            assert response.read() == b"x" * 1000
        with pytest.raises(urllib.error.HTTPError, match="413"):
            urllib.request.urlopen(f"{address}echo", b"x" * 1001)
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_an_address_in_use_is_refused(app):
    with web.listening(app, "127.0.0.1", 0) as (address, _):
        port = int(address.strip("/").split(":")[-1])
        words = f"127.0.0.1:{port} .*choose another host or port"
        with pytest.raises(UserError, match=words), web.listening(app, "127.0.0.1", port):
            pass
    with web.listening(app, "0.0.0.0", 0) as (address, _):
        assert address.startswith("http://localhost:")
