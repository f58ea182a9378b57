"""The study in real browsers, Chromium and WebKit, against the real server."""

import contextlib
import time

import pytest

from prsr.pages.study import simulation, store
from prsr.pages.study.protocol import GOLDEN, Protocol
from tests import hosts
from tests.conftest import in_chromium, start
from tests.pages.study import studies

Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
By = pytest.importorskip("selenium.webdriver.common.by").By

QUICK = Protocol(practice=2, pairs=2, golden=1, workers=20)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    study = studies.make(tmp_path_factory.mktemp("browser") / "study", QUICK, size=32)
    with simulation.server(study) as url:
        yield study, url


class Worker:
    """A person at the browser. Which image is real, the test reads in the database."""

    def __init__(self, browser, study, url, name=None):
        self.browser, self.study = browser, study
        self.address = url + (f"?worker={name}" if name else "")
        browser.delete_all_cookies()
        browser.get(self.address)

    def element(self, name):
        return self.browser.find_element(By.ID, name)

    def wait(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, self.browser.page_source
            time.sleep(0.02)
        return found

    def text(self):
        return self.browser.find_element(By.TAG_NAME, "main").text

    def agree(self):
        self.wait(lambda: self.element("go").is_displayed())
        self.element("go").click()

    def wait_for_pair(self, position):
        """Until the pair may be answered; goes on over the page between the two parts."""
        self.wait(lambda: "practice is over" in self.text() or position in self.text())
        if self.element("go").is_displayed():
            assert "practice is over" in self.text()
            self.element("go").click()
        self.wait(lambda: position in self.text() and self.element("left").is_enabled())

    def trials(self):
        return store.read(self.study)[-1]["trials"]

    def answer(self, trial, right=True, by="key"):
        truth = self.trials()[trial]["truth_side"]
        side = truth if right else {"left": "right", "right": "left"}[truth]
        if by == "key":
            key = {"left": Keys.ARROW_LEFT, "right": Keys.ARROW_RIGHT}[side]
            self.browser.find_element(By.TAG_NAME, "body").send_keys(key)
        else:
            self.element(side).click()

    def session(self, start=0, wrong=()):
        """Answers from a trial on, those in `wrong` wrongly; returns the finished trials."""
        for trial in range(start, QUICK.images):
            position = f"Practice {trial + 1} of 2" if trial < 2 else f"Pair {trial - 1} of 3"
            self.wait_for_pair(position)
            self.answer(trial, trial not in wrong, "key" if trial % 2 else "click")
            if trial < 2:
                expected = "Wrong" if trial in wrong else "Right!"
                self.wait(lambda expected=expected: expected in self.element("feedback").text)
        self.wait(lambda: "Thank you" in self.text())
        return self.trials()


def test_a_whole_session(browser, served):
    worker = Worker(browser, *served, name="ann")
    worker.wait(lambda: "is from a camera" in worker.text())
    assert "You may stop at any time" in worker.text() and "2 pairs for practice" in worker.text()
    worker.agree()
    trials = worker.session(wrong=(1,))
    assert [t["choice"] == t["truth_side"] for t in trials] == [True, False, True, True, True]
    assert all(abs(t["exposure_ms"] - 1000) <= 50 for t in trials), trials
    assert all(0 < t["response_ms"] < 10_000 and t["views"] == 1 for t in trials)
    code = store.read(served[0])[-1]["code"]
    assert code in worker.text()
    browser.get(worker.address)  # a reload after the end
    worker.wait(lambda: code in worker.text())
    again = Worker(browser, *served, name="ann")  # who has deleted the cookie
    again.agree()
    again.wait(lambda: "take part only once" in again.text())


def test_what_is_on_the_screen_and_for_how_long(browser, served):
    worker = Worker(browser, *served)
    worker.agree()
    # What a film of the page would show: at each frame, whether the two images are visible.
    browser.execute_script(
        """
        window.film = [];
        const watch = (now) => {
          const images = [...document.querySelectorAll('.picture img')];
          window.film.push([now, images.length === 2 && images.every(
            (i) => getComputedStyle(i).visibility === 'visible' && i.complete && i.naturalWidth),
            document.getElementById('left').disabled]);
          requestAnimationFrame(watch);
        };
        requestAnimationFrame(watch);
        """
    )
    worker.wait_for_pair("Practice 1 of 2")
    film = browser.execute_script("return window.film")
    visible = [now for now, shown, _ in film if shown]
    assert abs(visible[-1] - visible[0] - 1000) <= 50
    assert all(disabled for _, shown, disabled in film if shown)
    assert browser.execute_script(
        "return getComputedStyle(document.querySelector('.picture img')).imageRendering"
    ) == "pixelated"  # fmt: skip
    worker.answer(0)
    # Keys before the answer is asked for, and shortcuts of the browser's, are no answers.
    worker.wait(lambda: browser.find_elements(By.CSS_SELECTOR, ".shown"))
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.ARROW_LEFT)
    browser.execute_script("document.getElementById('left').click()")
    worker.wait_for_pair("Practice 2 of 2")
    body.send_keys(Keys.SHIFT, Keys.ARROW_RIGHT)
    two_frames = "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))"
    browser.execute_async_script(two_frames)
    assert worker.element("left").is_enabled()
    trial = worker.trials()[1]
    assert trial["choice"] is None and trial["views"] == 1


def test_a_page_that_is_hidden_shows_the_pair_again(browser, served):
    worker = Worker(browser, *served)
    worker.agree()
    worker.wait(lambda: browser.find_elements(By.CSS_SELECTOR, ".shown"))
    page = browser.current_window_handle
    browser.switch_to.new_window("tab")
    time.sleep(1.5)
    browser.close()
    browser.switch_to.window(page)
    worker.wait_for_pair("Practice 1 of 2")
    worker.answer(0)
    worker.wait(lambda: worker.trials()[0]["choice"])
    trial = worker.trials()[0]
    assert trial["exposures"] == 2 and abs(trial["exposure_ms"] - 1000) <= 50


def test_in_webkit(webkit, served):
    """The engine of Safari; the other tests are tried in it by `pytest -m slow`."""
    worker = Worker(webkit, *served)
    worker.agree()
    worker.wait_for_pair("Practice 1 of 2")
    worker.answer(0)
    worker.wait_for_pair("Practice 2 of 2")
    assert abs(worker.trials()[0]["exposure_ms"] - 1000) <= 50


def places(study):
    counts = studies.open_store(study, time.time).progress().values()
    return sum(c["active"] + c["kept"] for c in counts)


@in_chromium
def test_cookies_that_are_blocked_are_noticed_before_a_place_is_taken(browser, served):
    study, url = served
    before = places(study)
    # The browser's own switch is out of a driver's reach: cookies go as soon as they come.
    script = "const f = window.fetch; window.fetch = (p, o) => f(p, {...o, credentials: 'omit'});"
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        worker = Worker(browser, study, url)
        worker.wait(lambda: "Cookies are needed" in worker.text())
        assert "Nothing has begun yet" in worker.text() and places(study) == before
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    worker.element("go").click()  # try again
    worker.agree()
    worker.wait_for_pair("Practice 1 of 2")
    assert places(study) == before + 1


@in_chromium
def test_a_browser_of_2021(browser, served):
    """Newer pieces are taken away before the page runs."""
    added = browser.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": hosts.WITHOUT_NEWER_PIECES}
    )
    try:
        worker = Worker(browser, *served)
        worker.agree()
        worker.wait_for_pair("Practice 1 of 2")
        worker.answer(0)
        worker.wait_for_pair("Practice 2 of 2")
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


@contextlib.contextmanager
def serving(study, *flags):
    process = start("study", "serve", f"--study={study.path}", "--port=0", *flags)
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_behind_a_path(browser, served):
    study, url = served
    with hosts.behind(url, "/deep/study/") as address:
        worker = Worker(browser, study, f"{address}deep/study/")
        worker.agree()
        worker.wait_for_pair("Practice 1 of 2")
        worker.answer(0)
        worker.wait(lambda: worker.trials()[0]["choice"])
        browser.get(f"{address}deep/study/admin#{study.admin_token()}")
        worker.wait(lambda: "As of" in worker.element("status").text)


@in_chromium
def test_in_a_frame(browser, tmp_path):
    """Of a page that may; one that may not shows nothing."""
    study = studies.make(tmp_path / "study", QUICK, size=32)
    with contextlib.ExitStack() as stack:
        host, other = (stack.enter_context(hosts.framing()) for _ in range(2))
        url = stack.enter_context(serving(study, f"--allow_framing_by={host.rstrip('/')}"))
        framed = url.replace("127.0.0.1", "localhost")
        worker = Worker(browser, study, f"{host}?{framed}")
        browser.switch_to.frame("frame")
        worker.agree()
        worker.wait_for_pair("Practice 1 of 2")
        worker.answer(0, by="click")
        worker.wait(lambda: worker.trials()[0]["choice"])
        browser.get(f"{other}?{framed}")
        time.sleep(0.5)
        browser.switch_to.frame("frame")
        assert "camera" not in browser.find_element(By.TAG_NAME, "body").text
    browser.switch_to.default_content()


@pytest.mark.slow
def test_a_frame_in_which_no_cookies_are_kept(webkit, tmp_path):
    """The study is then offered in a window of its own. WebKit keeps none in frames."""
    study = studies.make(tmp_path / "study", QUICK, size=32)
    with hosts.framing() as host, serving(study, f"--allow_framing_by={host.rstrip('/')}") as url:
        worker = Worker(webkit, study, f"{host}?{url.replace('127.0.0.1', 'localhost')}")
        webkit.switch_to.frame("frame")
        worker.wait(lambda: "Cookies are needed" in worker.text())
        assert worker.element("go").text == "Open in a new window"
        assert places(study) == 0
    webkit.switch_to.default_content()


@pytest.mark.slow
def test_two_tabs_are_one_session(browser, served):
    worker = Worker(browser, *served)
    # An image whose pair was answered meanwhile is given up, not asked for for ever.
    script = "load('gone').then((image) => arguments[0](image === null))"
    assert browser.execute_async_script(script)
    worker.agree()
    worker.wait_for_pair("Practice 1 of 2")
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    browser.get(worker.address)
    worker.wait_for_pair("Practice 1 of 2")
    worker.answer(0)
    worker.wait_for_pair("Practice 2 of 2")
    kept = worker.trials()[0]["choice"]
    worker.answer(1)
    worker.wait_for_pair("Pair 1 of 3")
    browser.close()
    browser.switch_to.window(first)
    worker.element({"left": "right", "right": "left"}[kept]).click()  # too late
    worker.wait_for_pair("Pair 1 of 3")
    worker.answer(2)
    worker.wait(lambda: worker.trials()[2]["choice"])
    assert worker.trials()[0]["choice"] == kept


def test_a_reload_in_mid_session_and_a_missed_golden_pair(browser, served):
    study, _ = served
    worker = Worker(browser, *served, name="bob")
    worker.agree()
    for trial in range(2):
        worker.wait_for_pair(f"Practice {trial + 1} of 2")
        worker.answer(trial)
    worker.wait_for_pair("Pair 1 of 3")
    browser.refresh()
    golden = [t["number"] for t in worker.trials() if t["kind"] == GOLDEN]
    trials = worker.session(start=2, wrong=golden)
    assert [t["views"] for t in trials] == [1, 1, 2, 1, 1]
    assert all(abs(t["exposure_ms"] - 1000) <= 50 for t in trials)
    assert "Your code is" in worker.text()  # nobody is told
    counts = studies.open_store(study, time.time).progress()
    assert sum(c["missed"] for c in counts.values()) == 1


@in_chromium
@pytest.mark.parametrize(("width", "height"), [(360, 640), (640, 360)])
def test_a_telephone(browser, served, width, height):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True},
    )
    try:
        worker = Worker(browser, *served)
        worker.agree()
        worker.wait_for_pair("Practice 1 of 2")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        left, right = worker.element("left").rect, worker.element("right").rect
        assert left["x"] >= 0 and right["x"] >= left["x"] + left["width"]
        assert right["x"] + right["width"] <= width and left["width"] > 120
        assert left["y"] + left["height"] <= height
        shown = browser.execute_script(
            "return document.querySelector('.picture img').getBoundingClientRect().width"
        )
        assert shown >= 96 and 2 * shown % 32 == 0  # pixels of the screen, of 32 of the image
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_admin_page(browser, served):
    study, url = served
    browser.get(f"{url}admin#{study.admin_token()}")
    worker = Worker.__new__(Worker)
    worker.browser = browser
    worker.wait(lambda: "As of" in worker.element("status").text)
    assert "noise: Regression" in worker.text() and "noise: Tau_1" in worker.text()
    browser.get("about:blank")
    browser.get(f"{url}admin#wrong")
    worker.wait(lambda: "needs the token" in worker.element("status").text)


@pytest.mark.slow
def test_the_paper_s_whole_session_and_a_server_that_is_killed_in_it(browser, tmp_path):
    study = studies.make(tmp_path / "study", Protocol(), images=60, size=32)
    with simulation.server(study) as url:
        worker = Worker(browser, study, url)
        worker.agree()
        port = url.split(":")[-1].strip("/")
        for trial in range(30):
            position = f"Practice {trial + 1} of" if trial < 10 else f"Pair {trial - 9} of 45"
            worker.wait_for_pair(position)
            if trial < 29:
                worker.answer(trial)
    worker.answer(29)  # into the void
    worker.wait(lambda: "connection is lost" in worker.text())
    with simulation.server(study, port):
        for trial in range(30, 55):
            worker.wait_for_pair(f"Pair {trial - 9} of 45")
            worker.answer(trial)
        worker.wait(lambda: "Thank you" in worker.text())
    trials = worker.trials()
    assert all(t["choice"] == t["truth_side"] for t in trials)
    assert all(abs(t["exposure_ms"] - 1000) <= 50 for t in trials), trials
