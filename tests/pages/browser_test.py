"""Both pages in Chromium, once through; the tests of demo/ and study/ in browsers are slow."""

import numpy as np

import prsr
from prsr.pages.study import store
from tests.pages.demo.browser_test import BEST, EXAMPLES, Page, demo, host, square  # noqa: F401
from tests.pages.study.browser_test import Worker, served  # noqa: F401


def test_the_demo_draws_an_example_row_by_row_and_shows_its_inside(browser, demo):  # noqa: F811
    page = Page(browser, demo[1])
    page.wait(lambda: len(page.elements("#examples img")) == 2)
    page.elements("#examples button")[1].click()
    page.wait_until_done()
    samples = [f"sample {k}" for k in (1, 2, 3, 4)]
    assert page.names() == ["input", "bicubic", *samples, "original"]
    grace = square(EXAMPLES / "grace_hopper.jpg")
    model = prsr.load("faces")
    expected = model.sample(grace, 4, seed=1, **BEST)
    for name, image in zip(samples, expected):
        np.testing.assert_array_equal(page.image(name), image)
    np.testing.assert_array_equal(page.image("input"), model.low_res(grace))
    rows = [(y, at) for height, y, at in page.run("return puts") if height == 1]
    assert [y for y, _ in rows] == sorted(list(range(32)) * 4)
    assert rows[-1][1] - rows[0][1] > 50  # milliseconds: not all at once
    nats = -model.log_prob(model.low_res(grace)[None], expected[:1])[0]
    assert f"{nats:,.0f} ({nats / (3072 * np.log(2)):.2f})" in page.text()
    assert "Download all as one picture" in page.text()
    page.wait_for_inside()
    assert page.element("place").text == "row 17, column 17"


def test_a_worker_completes_a_session_of_the_study(browser, served):  # noqa: F811
    study, _ = served
    worker = Worker(browser, *served)
    worker.wait_for_text("is from a camera")
    assert "You may stop at any time" in worker.text() and "2 pairs for practice" in worker.text()
    worker.agree()
    answers = worker.finish(is_right=lambda number: number != 1)
    assert [a["choice"] == a["truth_side"] for a in answers] == [True, False, True, True, True]
    assert all(abs(answer["exposure_ms"] - 1000) <= 50 for answer in answers), answers
    assert all(0 < a["response_ms"] < 10_000 and a["views"] == 1 for a in answers)
    code = store.read(study)[-1]["code"]
    assert code in worker.text()
    browser.get(worker.address)  # later
    worker.wait_for_text(code)
