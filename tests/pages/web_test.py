"""The server that the pages share."""

import signal
import threading
import urllib.error
import urllib.request

import pytest

from prsr.pages import web
from prsr.system.errors import UserError


@pytest.fixture
def app():
    app = web.application("prsr.pages.demo", most_bytes=1000)

    @app.post("/echo")
    def echo():
        return web.flask.request.get_data()

    return app


def test_a_page_with_safe_headers(app):
    page = app.test_client().get("/")
    assert page.status_code == 200 and b"<html" in page.data
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("framed_by", "policy"),
    [
        ([], "frame-ancestors 'none'"),
        (
            ["https://a.org", "https://*.b.org:8080"],
            "frame-ancestors https://a.org https://*.b.org:8080",
        ),
    ],
)
def test_who_may_frame_it(framed_by, policy):
    app = web.application("prsr.pages.demo", 1000, framed_by)
    assert app.test_client().get("/").headers["Content-Security-Policy"].endswith(policy)


@pytest.mark.parametrize(
    "origin", ["*", "a.org", "https://a.org/", "'self'", "https://a.org; x", ""]
)
def test_what_is_no_origin(origin):
    with pytest.raises(UserError, match="allow_framing_by expects origins"):
        web.application("prsr.pages.demo", 1000, [origin])


def test_it_answers_at_the_port_that_it_says_and_refuses_what_is_too_large(app):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with web.listening(app, "127.0.0.1", 0) as (address, answer):
        threading.Thread(target=answer, daemon=True).start()
        with urllib.request.urlopen(f"{address}echo", b"x" * 1000) as response:
            assert response.read() == b"x" * 1000
        with pytest.raises(urllib.error.HTTPError, match="413"):
            urllib.request.urlopen(f"{address}echo", b"x" * 1001)
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_an_address_that_is_taken(app):
    with web.listening(app, "127.0.0.1", 0) as (address, _):
        port = int(address.strip("/").split(":")[-1])
        words = f"cannot listen at 127.0.0.1:{port} .*choose another host or port"
        with pytest.raises(UserError, match=words), web.listening(app, "127.0.0.1", port):
            pass


def test_all_addresses_are_called_localhost(app):
    with web.listening(app, "0.0.0.0", 0) as (address, _):
        assert address.startswith("http://localhost:")
