"""The study in real browsers, Chromium and WebKit, with the real server.

tests/pages/browser_test.py has the one that always runs.
"""

import contextlib
import time

import pytest

from prsr.pages.study import store
from prsr.pages.study.protocol import GOLDEN, Protocol
from tests import hosts
from tests.conftest import in_chromium
from tests.pages.browsers import By, Keys, Visitor, of_2021, phone, running_first
from tests.pages.study import studies

pytestmark = pytest.mark.slow

QUICK = Protocol(practice=2, pairs=2, golden=1, workers=20)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    study = studies.make(tmp_path_factory.mktemp("browser") / "study", QUICK, size=32)
    with studies.serving(study) as url:
        yield study, url


class Worker(Visitor):
    """A worker who knows which image is real, from the study's database."""

    def __init__(self, browser, study, url, name=None):
        super().__init__(browser)
        self.study, self.address = study, url + (f"?worker={name}" if name else "")
        browser.delete_all_cookies()
        browser.get(self.address)

    def agree(self):
        self.wait(lambda: self.element("go").is_displayed())
        self.element("go").click()

    def wait_for_pair(self, position):
        """Waits until the pair may be answered; leaves the page between the two parts."""
        self.wait(lambda: "practice is over" in self.text() or position in self.text())
        if self.element("go").is_displayed():
            assert "practice is over" in self.text()
            self.element("go").click()
        self.wait(lambda: position in self.text() and self.element("left").is_enabled())

    def begin(self):
        self.agree()
        self.wait_for_pair("Practice 1 of 2")

    def session(self):
        return store.read(self.study)[-1]

    def answers(self):
        return self.session()["answers"]

    def answer(self, right=True, by="key"):
        """Answers the pair that is due."""
        with contextlib.closing(studies.open_store(self.study, time.time)) as opened:
            _, trial = opened.due(self.session()["token"])
        side = trial.truth_side if right else {"left": "right", "right": "left"}[trial.truth_side]
        if by == "key":
            key = {"left": Keys.ARROW_LEFT, "right": Keys.ARROW_RIGHT}[side]
            self.browser.find_element(By.TAG_NAME, "body").send_keys(key)
        else:
            self.element(side).click()

    def finish(self, start=0, is_right=lambda number: True):
        """Answers from a pair on; returns the session's answers."""
        for number in range(start, QUICK.images):
            position = f"Practice {number + 1} of 2" if number < 2 else f"Pair {number - 1} of 3"
            self.wait_for_pair(position)
            self.answer(is_right(number), "key" if number % 2 else "click")
            if number < 2:
                expected = "Right!" if is_right(number) else "Wrong"
                self.wait(lambda expected=expected: expected in self.element("feedback").text)
        self.wait_for_text("Thank you")
        return self.answers()


def test_a_pair_is_visible_for_a_second_and_answered_afterwards(browser, served):
    worker = Worker(browser, *served)
    worker.agree()
    # Films the page: at each frame, whether the two images are visible.
    worker.run("""
        window.film = [];
        const watch = (now) => {
          const images = [...document.querySelectorAll('.picture img')];
          window.film.push([now, images.length === 2 && images.every(
            (i) => getComputedStyle(i).visibility === 'visible' && i.complete && i.naturalWidth),
            document.getElementById('left').disabled]);
          requestAnimationFrame(watch);
        };
        requestAnimationFrame(watch);""")
    worker.wait_for_pair("Practice 1 of 2")
    film = worker.run("return window.film")
    visible = [now for now, shown, _ in film if shown]
    assert abs(visible[-1] - visible[0] - 1000) <= 50
    assert all(disabled for _, shown, disabled in film if shown)
    worker.answer()
    # Keys and clicks during the exposure, and the browser's shortcuts, are no answers.
    worker.wait(lambda: worker.elements(".shown"))
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.ARROW_LEFT)
    worker.run("document.getElementById('left').click()")
    worker.wait_for_pair("Practice 2 of 2")
    body.send_keys(Keys.SHIFT, Keys.ARROW_RIGHT)
    two_frames = "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))"
    browser.execute_async_script(two_frames)
    assert worker.element("left").is_enabled()
    assert len(worker.answers()) == 1 and worker.session()["views"] == 1


def test_a_hidden_page_shows_the_pair_again(browser, served):
    worker = Worker(browser, *served)
    worker.agree()
    worker.wait(lambda: worker.elements(".shown"))
    page = browser.current_window_handle
    browser.switch_to.new_window("tab")
    time.sleep(1.5)  # longer than a pair is shown
    browser.close()
    browser.switch_to.window(page)
    worker.wait_for_pair("Practice 1 of 2")
    worker.answer()
    (answer,) = worker.wait(worker.answers)
    assert answer["exposures"] == 2 and abs(answer["exposure_ms"] - 1000) <= 50


def places(study):
    with contextlib.closing(studies.open_store(study, time.time)) as opened:
        counts = opened.progress().values()
    return sum(c["active"] + c["kept"] for c in counts)


@in_chromium
def test_blocked_cookies_are_reported_before_a_place_is_taken(browser, served):
    study, url = served
    before = places(study)
    # A driver cannot reach the browser's own switch, so requests omit cookies.
    script = "const f = window.fetch; window.fetch = (p, o) => f(p, {...o, credentials: 'omit'});"
    with running_first(browser, script):
        worker = Worker(browser, study, url)
        worker.wait_for_text("Cookies are needed")
        assert "has not begun yet" in worker.text() and places(study) == before
    worker.element("go").click()  # try again
    worker.begin()
    assert places(study) == before + 1


def test_the_study_works_behind_a_path(browser, served):
    study, url = served
    with hosts.behind(url, "/deep/study/") as address:
        worker = Worker(browser, study, f"{address}deep/study/")
        worker.begin()
        worker.answer()
        worker.wait(worker.answers)
        browser.get(f"{address}deep/study/admin#{study.admin_token()}")
        worker.wait(lambda: "As of" in worker.element("status").text)
        assert "noise: Regression" in worker.text() and "noise: Tau_1" in worker.text()


@contextlib.contextmanager
def framed_worker(browser, path):
    """A worker whose browser shows a new study in another page's frame."""
    study = studies.make(path, QUICK, size=32)
    with hosts.framing() as host:
        allowed = f"--allow_framing_by={host.rstrip('/')}"
        with studies.serving(study, allowed) as url:
            worker = Worker(browser, study, f"{host}?{url.replace('127.0.0.1', 'localhost')}")
            browser.switch_to.frame("frame")
            yield worker
    browser.switch_to.default_content()


@in_chromium
def test_the_study_works_in_a_frame(browser, tmp_path):
    with framed_worker(browser, tmp_path / "study") as worker:
        worker.begin()
        worker.answer(by="click")
        worker.wait(worker.answers)


def test_a_frame_without_cookies_offers_a_new_window(webkit, tmp_path):
    """WebKit keeps no cookies in frames."""
    with framed_worker(webkit, tmp_path / "study") as worker:
        worker.wait_for_text("Cookies are needed")
        assert worker.element("go").text == "Open in a new window" and places(worker.study) == 0


def test_two_tabs_are_one_session(browser, served):
    worker = Worker(browser, *served)
    worker.begin()
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    browser.get(worker.address)
    worker.wait_for_pair("Practice 1 of 2")
    worker.answer()
    worker.wait_for_pair("Practice 2 of 2")
    choice = worker.answers()[0]["choice"]
    worker.answer()
    worker.wait_for_pair("Pair 1 of 3")
    browser.close()
    browser.switch_to.window(first)
    worker.element({"left": "right", "right": "left"}[choice]).click()  # too late
    worker.wait_for_pair("Pair 1 of 3")
    worker.answer()
    worker.wait(lambda: len(worker.answers()) == 3)
    assert worker.answers()[0]["choice"] == choice


def test_a_session_survives_a_reload_and_a_missed_golden_pair(browser, served):
    worker = Worker(browser, *served, name="bob")
    worker.begin()
    worker.answer()
    worker.wait_for_pair("Practice 2 of 2")
    worker.answer()
    worker.wait_for_pair("Pair 1 of 3")
    browser.refresh()
    answers = worker.finish(start=2, is_right=lambda number: False)
    assert [answer["views"] for answer in answers] == [1, 1, 2, 1, 1]
    assert all(abs(answer["exposure_ms"] - 1000) <= 50 for answer in answers)
    assert sum(answer["kind"] == GOLDEN for answer in answers) == 1 and worker.session()["missed"]
    assert "Your code is" in worker.text()  # the worker is not told


@in_chromium
@pytest.mark.parametrize(("width", "height"), [(360, 640), (640, 360)])
def test_the_study_works_on_a_phone_of_2021(browser, served, width, height):
    with phone(browser, width, height), of_2021(browser):
        worker = Worker(browser, *served)
        worker.begin()
        assert worker.run("return document.documentElement.scrollWidth") <= width
        left, right = worker.element("left").rect, worker.element("right").rect
        assert left["x"] >= 0 and right["x"] >= left["x"] + left["width"]
        assert right["x"] + right["width"] <= width and left["width"] > 120
        assert left["y"] + left["height"] <= height
        (image, _) = worker.elements(".picture img")
        assert image.value_of_css_property("image-rendering") == "pixelated"
        shown = image.rect["width"]
        assert shown >= 96 and 2 * shown % 32 == 0  # pixels of the screen, of 32 of the image


def test_a_session_survives_a_restart_of_the_server(browser, tmp_path):
    study = studies.make(tmp_path / "study", QUICK, size=32)
    with studies.serving(study) as url:
        worker = Worker(browser, study, url)
        worker.begin()
    worker.answer()  # nobody receives it
    worker.wait_for_text("connection is lost")
    with studies.serving(study, port=url.split(":")[-1].strip("/")):
        worker.wait(worker.answers)
        answers = worker.finish(start=1)
    assert all(answer["choice"] == answer["truth_side"] for answer in answers)
    assert all(abs(answer["exposure_ms"] - 1000) <= 50 for answer in answers), answers
