"""The server's answers: nothing in them tells which image is real, and nothing breaks them."""

import dataclasses

import pytest

from prsr.pages.study import server
from prsr.pages.study.store import read
from tests.pages.study import studies


class Page:
    """The Flask test client of one browser."""

    def __init__(self, app, keeps_cookies=True):
        self.client = app.test_client(use_cookies=keeps_cookies)
        self.get = self.client.get
        self.get("/api/state")  # as the page does: it brings the cookie

    def begin(self, worker=None):
        return self.client.post("/api/begin", json={"worker": worker})

    def answer(self, **body):
        return self.client.post("/api/answer", json=body)


@pytest.fixture
def app(study, clock):
    app = server.create_app(study, studies.open_store(study, clock))
    app.study = study
    return app


def images(page, number):
    """The responses to a page that loads both images of a pair."""
    return [page.get(f"/api/image/{number}/{side}") for side in ("left", "right")]


def answer(page, clock, number, choice="left"):
    clock.now += 1
    return page.answer(number=number, choice=choice, exposure_ms=20.0, response_ms=1)


def test_a_session_from_start_to_code(app, clock):
    page = Page(app)
    new = page.get("/api/state?worker=ann").json
    assert new["state"] == "new" and new["consent"] and new["pairs"] == 4
    assert new["question"] == "Which image, would you guess, is from a camera?"
    state = page.begin("ann").json
    for number in range(6):
        before = [image.data for image in images(page, number)]
        again = page.get("/api/state?worker=ann").json  # a reload: the same pair
        assert again["number"] == state["number"] == number
        assert before == [image.data for image in images(page, number)]
        state = answer(page, clock, number).json
    assert state["state"] == "finished"
    assert page.get("/api/state?worker=ann").json["code"] == state["code"]
    assert page.get("/api/state").json["code"] == state["code"]
    # The same identifier in another browser, and another identifier in the same browser.
    other = Page(app)
    refused = other.begin("ann")
    assert refused.status_code == 403 and "once" in refused.json["error"]
    refused = page.get("/api/state?worker=bob")
    assert refused.status_code == 403 and "code" not in refused.json
    assert page.begin("bob").status_code == 403


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 1990])
@pytest.mark.parametrize("path", ["/api/begin", "/api/answer"])
def test_bodies_that_are_no_json_objects_are_refused(app, path, body):
    page = Page(app)
    page.begin()
    response = page.client.post(path, data=body, content_type="application/json")
    assert response.status_code == 400 and response.json["error"] == "expected a JSON object"


def test_a_browser_that_missed_the_reply_begins_once(app):
    page = Page(app)
    cookie = page.get("/api/state?worker=ann").headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    first = page.begin("ann").json
    assert page.begin("ann").json == first
    name, secret = cookie.split(";")[0].split("=")
    page = Page(app)
    page.client.set_cookie(name, secret)
    assert page.begin("ann").json == first and len(read(app.study)) == 1
    # Clients cannot choose their session secret.
    weak = Page(app)
    weak.client.set_cookie(name, "1")
    weak.begin("bob")
    assert len(read(app.study)) == 1


def test_a_browser_without_cookies_takes_no_place(app):
    page = Page(app, keeps_cookies=False)
    assert page.get("/api/state?worker=ann").json["keeps_cookies"] is False
    refused = page.begin("ann")
    assert refused.status_code == 403 and "not keep cookies" in refused.json["error"]
    assert not read(app.study)
    other = Page(app)  # the same worker, who came again with cookies
    assert other.get("/api/state?worker=ann").json["keeps_cookies"] is True
    assert other.begin("ann").json["state"] == "pair"


def test_framed_studies_set_partitioned_cookies_and_each_study_its_own(app, study, clock, tmp_path):
    framed = server.create_app(
        study, studies.open_store(study, clock), framed_by=["https://example.org"]
    )
    answer = framed.test_client().get("/api/state")
    for part in ("SameSite=None", "Secure", "Partitioned", "HttpOnly"):
        assert part in answer.headers["Set-Cookie"]
    assert "frame-ancestors https://example.org" in answer.headers["Content-Security-Policy"]
    study = studies.make(tmp_path / "other")
    other = server.create_app(study, studies.open_store(study, clock))
    cookies = [Page(one).get("/api/state").headers["Set-Cookie"] for one in (app, framed, other)]
    names = [cookie.split("=")[0] for cookie in cookies]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("channels", [1, 3])
def test_only_the_pixels_of_an_image_tell_whether_it_is_real(tmp_path, clock, channels):
    study = studies.make(tmp_path / "study", channels=channels)
    app = server.create_app(study, studies.open_store(study, clock))
    seen = []
    for _ in range(4):
        page = Page(app)
        state = page.begin().json
        while state["state"] == "pair":
            assert set(state) - {"correct"} == {
                "state", "number", "practice", "position", "of", "exposure_ms", "ahead",
            }  # fmt: skip
            shown = images(page, state["number"])
            seen += [(r.status_code, len(r.data), str(r.headers)) for r in shown]
            state = answer(page, clock, state["number"]).json
    assert len(seen) == 48 and len(set(seen)) == 1, set(seen)
    status, _, headers = seen[0]
    assert status == 200 and "Last-Modified" not in headers and "ETag" not in headers
    assert "no-store" in headers and "nosniff" in headers and "default-src 'self'" in headers


def test_a_required_worker_id_is_enforced(study, clock):
    app = server.create_app(study, studies.open_store(study, clock), require_worker_id=True)
    assert Page(app).get("/api/state").status_code == 403
    assert Page(app).begin().status_code == 403
    assert Page(app).get("/api/state?worker=x").json["state"] == "new"


def test_the_admin_page_needs_its_token(app, study):
    page = Page(app)
    assert page.get("/admin").status_code == 200
    for wrong in ("", "Bearer x", "é"):
        refused = page.get("/api/progress", headers={"Authorization": wrong})
        assert refused.status_code == 403
    token = study.admin_token()
    assert (study.path / "admin_token").stat().st_mode & 0o077 == 0 and len(token) > 20
    body = page.get("/api/progress", headers={"Authorization": f"Bearer {token}"}).json
    assert [row["title"] for row in body["algorithms"]] == ["Regression", "Tau_1"]
    assert all(row["places"] == 2 and row["kept"] == 0 for row in body["algorithms"])


def test_a_full_disk_is_an_error_and_leaves_sessions_whole(tmp_path, clock, capsys):
    protocol = dataclasses.replace(studies.SMALL, workers=1000)
    study = studies.make(tmp_path / "study", protocol)
    store = studies.open_store(study, clock)
    app = server.create_app(study, store)
    page = Page(app)
    page.begin()
    (pages,) = store._database.execute("PRAGMA page_count").fetchone()
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    while (response := Page(app).begin()).status_code == 200:
        pass
    assert response.status_code == 503 and "try again" in response.json["error"]
    assert capsys.readouterr().err == "error: database or disk is full\n"
    store._database.execute("PRAGMA max_page_count = 1000000")
    assert answer(page, clock, 0).json["number"] == 1
    assert all(session["views"] == 1 for session in read(study))
    # Of two algorithms with equally many workers, one is chosen at random.
    assert len({session["algorithm"] for session in read(study)[::2]}) == 2


def test_missing_pages_are_not_found(app):
    page = Page(app)
    page.begin()
    for path in ("/nothing", "/static/../server.py", "/static/%2e%2e/server.py",
                 "/api/image/..%2f..%2fadmin_token", "/answers.db", "/api/image/0/up",
                 "/api/image/-1/left", f"/api/image/{'9' * 5000}/left"):  # fmt: skip
        response = page.get(path)
        assert response.status_code == 404 and "Traceback" not in response.text, path
    assert page.get("/api/answer").status_code == 405


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": "0"}, {"number": True}, {"choice": "up"}, {"choice": ["left"]},
        {"exposure_ms": "1000"}, {"exposure_ms": float("nan")}, {"exposure_ms": True},
        {"response_ms": -1}, {"response_ms": 1e9}, {"exposures": 0}, {"exposures": True},
    ],
)  # fmt: skip
def test_invalid_answers_are_refused(app, clock, wrong):
    page = Page(app)
    page.begin()
    clock.now += 1
    body = {"number": 0, "choice": "left", "exposure_ms": 1000, "response_ms": 0.5, "exposures": 2}
    response = page.answer(**body | wrong)
    assert response.status_code == 400 and "expected" in response.json["error"]
    assert not read(app.study)[0]["answers"]
    assert page.answer(**body).status_code == 200


@pytest.mark.parametrize(
    ("worker", "status"),
    [
        ("5fA@b.c:d_e-", 200), ("a" * 128, 200), ("a" * 129, 400), ("a" * 5000, 413),
        ("=1+1", 400), ("@x", 400), ("a\n", 400), ("a b", 400), ("é", 400), ("", 400), (7, 400),
    ],
)  # fmt: skip
def test_worker_ids_are_checked(app, worker, status):
    """Spreadsheets take cells that begin with a sign for formulas, so such ids are refused."""
    assert Page(app).begin(worker).status_code == status
