"""The server that the pages share."""

import io
import signal
import tempfile
import threading
import urllib.error
import urllib.request

import flask
import numpy as np
import pytest

from prsr.pages import web
from prsr.system.errors import UserError


@pytest.fixture
def app():
    app = web.application("prsr.pages.demo", max_bytes=2**21)

    @app.post("/echo")
    def echo():
        return flask.request.get_data()

    return app


@pytest.mark.parametrize("framed_by", [[], ["https://a.org", "https://*.b.org:8080"]])
def test_a_page_has_safe_headers_and_only_named_origins_may_frame_it(framed_by):
    app = web.application("prsr.pages.demo", 1000, framed_by)
    page = app.test_client().get("/")
    assert page.status_code == 200 and b"<html" in page.data
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Cache-Control"] == "no-store"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert policy.endswith("frame-ancestors " + (" ".join(framed_by) or "'none'"))


@pytest.mark.parametrize("origin", ["*", "a.org", "https://a.org/", "https://a.org; x"])
def test_invalid_origins_are_refused(origin):
    with pytest.raises(UserError, match="allow_framing_by"):
        web.application("prsr.pages.demo", 1000, [origin])


def test_large_bodies_are_refused_and_others_answered_from_memory_alone(app, monkeypatch):
    """Waitress would keep bodies and answers of this size in temporary files."""
    opened = []
    monkeypatch.setattr(
        tempfile, "TemporaryFile", lambda *_, **__: opened.append(1) or io.BytesIO()
    )
    body = np.random.default_rng(0).bytes(2**21)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with web.listening(app, "127.0.0.1", 0) as (address, answer):
        threading.Thread(target=answer, daemon=True).start()
        with urllib.request.urlopen(f"{address}echo", body) as response:
            assert response.read() == body
        with pytest.raises(urllib.error.HTTPError, match="413"):
            urllib.request.urlopen(f"{address}echo", body + b"x")
    assert not opened
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_an_address_in_use_is_refused(app):
    with web.listening(app, "127.0.0.1", 0) as (address, _):
        port = int(address.strip("/").split(":")[-1])
        words = f"127.0.0.1:{port} .*choose another host or port"
        with pytest.raises(UserError, match=words), web.listening(app, "127.0.0.1", port):
            pass
    with web.listening(app, "0.0.0.0", 0) as (address, _):
        assert address.startswith("http://localhost:")
