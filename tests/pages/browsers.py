"""People at a browser, for the tests of both pages."""

import contextlib
import time

import pytest

from tests import hosts

ActionChains = pytest.importorskip("selenium.webdriver").ActionChains
By = pytest.importorskip("selenium.webdriver.common.by").By
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys


class Visitor:
    """A person who looks at a page in a browser."""

    def __init__(self, browser):
        self.browser = browser

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def element(self, name):
        return self.browser.find_element(By.ID, name)

    def elements(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def box(self, name):
        """Scrolls an element into view; returns its left edge, top edge and width, in pixels."""
        element = self.element(name)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        script = "const b = arguments[0].getBoundingClientRect(); return [b.x, b.y, b.width]"
        return self.run(script, element)

    def text(self):
        return self.browser.find_element(By.TAG_NAME, "main").text

    def wait(self, condition, seconds=120):
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, self.text()
            time.sleep(0.02)
        return found

    def wait_for_text(self, words):
        self.wait(lambda: words in self.text())


@contextlib.contextmanager
def running_first(browser, script):
    """Chromium runs a script before every page."""
    command = "Page.addScriptToEvaluateOnNewDocument"
    added = browser.execute_cdp_cmd(command, {"source": script})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def of_2021(browser):
    """Chromium without what browsers of 2021 lack."""
    return running_first(browser, hosts.WITHOUT_NEWER_PIECES)


@contextlib.contextmanager
def phone(browser, width, height):
    """Chromium with the screen of a phone, two pixels for each of CSS."""
    screen = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
