"""The page in real browsers, Chromium and WebKit, against the real command and its model."""

import base64
import io
import time

import numpy as np
import pytest
from PIL import Image

import prsr
from prsr import images
from prsr.data import faces
from prsr.workdir import pretrained
from tests import hosts
from tests.conftest import in_chromium, start

Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
By = pytest.importorskip("selenium.webdriver.common.by").By

BEST = {"tau": 1.2, "guidance": 2, "match_input": "end"}
EXAMPLES = pretrained.workdir("faces").path / "examples"


@pytest.fixture(scope="module")
def host():
    """The address of a page that may show the demo in a frame."""
    with hosts.framing() as address:
        yield address


@pytest.fixture(scope="module")
def demo(host):
    """`python -m prsr.demo --model=faces`: the process, and its address."""
    framing = f"--allow_framing_by={host.rstrip('/')}"
    process = start("demo", "--model=faces", "--port=0", framing)
    lines = iter(process.stdout.readline, "")
    yield process, next(line.split()[1] for line in lines if line.startswith("open http://"))
    process.terminate()
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in stderr and "error" not in stderr


class Page:
    """A person before the page."""

    def __init__(self, browser, address):
        self.browser = browser
        browser.get("about:blank")
        browser.get(address)
        self.wait(lambda: "the model draws" in self.text())
        # When which row was put where.
        self.run("""
            window.puts = [];
            const put = CanvasRenderingContext2D.prototype.putImageData;
            CanvasRenderingContext2D.prototype.putImageData = function (image, x, y) {
              puts.push([image.height, y, performance.now()]);
              return put.call(this, image, x, y);
            };""")

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def element(self, name):
        return self.browser.find_element(By.ID, name)

    def text(self):
        return self.browser.find_element(By.TAG_NAME, "main").text

    def wait(self, condition, seconds=120):
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, self.text()
            time.sleep(0.02)
        return found

    def wait_until_done(self):
        self.wait(lambda: self.element("status").text == "Done.")

    def draw(self, **numbers):
        self.run("$('more').open = true")
        for name, value in numbers.items():
            self.element(name).clear()
            self.element(name).send_keys(str(value))
        self.click("draw")

    def click(self, name):
        self.run("arguments[0].scrollIntoView({block: 'center'})", self.element(name))
        self.element(name).click()

    def wait_for_inside(self):
        self.wait(lambda: self.element("inside").is_displayed())

    def give(self, image, by, name="mine.png", kind="image/png"):
        """A picture, or any bytes, by a file, dropped or pasted."""
        content = image
        if isinstance(image, np.ndarray):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            content = buffer.getvalue()
        self.run(
            """
            const [text, by, name, type] = arguments;
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const given = new DataTransfer();
            given.items.add(new File([bytes], name, { type }));
            if (by === "file") {
              document.getElementById("file").files = given.files;
              document.getElementById("file").dispatchEvent(new Event("change"));
            } else if (by === "paste") {
              document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: given }));
            } else {
              document.body.dispatchEvent(
                new DragEvent("drop", { dataTransfer: given, bubbles: true, cancelable: true }));
            }""",
            base64.b64encode(content).decode(), by, name, kind,
        )  # fmt: skip

    def wait_for_picture(self, width):
        self.wait(lambda: self.run("return picture && picture.width") == width)

    def names(self):
        return [f.get_attribute("data-name") for f in self.figures()]

    def figures(self):
        return self.browser.find_elements(By.TAG_NAME, "figure")

    def image(self, name):
        """The pixels of a figure's canvas, through its download."""
        (figure,) = [f for f in self.figures() if f.get_attribute("data-name") == name]
        url = figure.find_element(By.TAG_NAME, "a").get_attribute("href")
        content = base64.b64decode(url.removeprefix("data:image/png;base64,"))
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.fixture
def page(browser, demo):
    return Page(browser, demo[1])


def square(path):
    return images.crop(np.asarray(Image.open(path)), "celeba")


def test_an_example_appears_row_by_row(page):
    page.wait(lambda: len(page.browser.find_elements(By.CSS_SELECTOR, "#examples img")) == 2)
    page.browser.find_elements(By.CSS_SELECTOR, "#examples button")[1].click()
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
    text = page.text()
    nats = -model.log_prob(model.low_res(grace)[None], expected[:1])[0]
    assert f"{nats:,.0f} ({nats / (3072 * np.log(2)):.2f})" in text
    assert "Download all as one picture" in text


@pytest.mark.parametrize("by", ["file", "drop", "paste"])
def test_a_picture_of_one_s_own(page, by):
    """An input is taken as it is, by whichever way it comes."""
    low_res = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    page.give(low_res, by)
    page.wait_for_picture(8)
    page.click("paper")
    page.draw(num_samples=2, seed=7, tau=1.5)
    page.wait_until_done()
    assert page.names() == ["input", "bicubic", "sample 1", "sample 2"]
    np.testing.assert_array_equal(page.image("input"), low_res)
    expected = prsr.load("faces").sample(low_res, 2, tau=1.5, seed=7)
    np.testing.assert_array_equal(page.image("sample 2"), expected[1])


def test_the_face_is_found(page):
    """In a photograph that is turned and has a margin; the crop is as --align cuts it."""
    pytest.importorskip("mtcnn")
    photograph = Image.open(EXAMPLES / "eileen_collins.jpg")
    canvas = Image.new("RGB", (400, 400), "gray")
    canvas.paste(photograph.resize((356, 436)), (30, -20))
    turned = np.asarray(canvas.rotate(12, Image.Resampling.BICUBIC))
    page.give(turned, "file")
    page.wait_for_picture(400)
    page.element("find").click()
    page.wait(lambda: page.run("return view.turn") != 0)
    eyes = faces.detector()(turned)[1]
    view = page.run("return view")
    cos, sin = np.cos(view["turn"]), np.sin(view["turn"])
    for (x, y), goal in zip(eyes - (view["x"], view["y"]), faces.EYES_IN_CROP):
        place = np.array([x * cos + y * sin, y * cos - x * sin]) / view["side"] + 0.5
        assert np.abs(place - goal).max() < 0.02
    page.draw(num_samples=1)
    page.wait_until_done()
    low_res = prsr.load("faces").low_res(faces.align(turned, eyes)).astype(int)
    assert np.abs(page.image("input") - low_res).mean() < 6
    assert np.abs(page.image("input") - low_res[:, ::-1]).mean() > 12


@in_chromium
def test_the_part_is_moved_and_enlarged(page):
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 100:] = 255
    page.give(picture, "drop")
    page.wait_for_picture(200)
    assert page.run("return [view.x, view.y, view.side]") == [100, 50, 100]
    stage = page.element("stage")

    def mouse(kind, x, y):
        page.browser.execute_cdp_cmd(
            "Input.dispatchMouseEvent",
            {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1},
        )

    page.run("arguments[0].scrollIntoView({block: 'center'})", stage)
    box = page.run(
        "const b = arguments[0].getBoundingClientRect(); return [b.x, b.y, b.width]", stage
    )
    x, y = box[0] + box[2] / 2, box[1] + box[2] / 2
    mouse("mousePressed", x, y)
    mouse("mouseMoved", x - box[2] / 2, y)
    mouse("mouseReleased", x - box[2] / 2, y)
    assert page.run("return view.x") == pytest.approx(150, abs=1)
    page.draw(num_samples=1)
    page.wait_until_done()
    assert (page.image("input") == 255).all()  # the right half alone
    page.run("$('zoom').value = 1; $('zoom').oninput();")
    assert page.run("return view.side") == pytest.approx(8)
    page.run("$('zoom').value = 0; $('zoom').oninput();")
    assert page.run("return view.side") == pytest.approx(200)
    stage.send_keys("\ue012")  # the left arrow
    assert page.run("return view.x") == pytest.approx(146, abs=1)


@in_chromium
def test_a_photograph(page):
    page.run("""
        window.tracks = [];
        const media = navigator.mediaDevices;
        const get = media.getUserMedia.bind(media);
        media.getUserMedia = async (wanted) => {
          const stream = await get(wanted);
          tracks.push(...stream.getTracks());
          return stream;
        };""")
    for _ in range(2):
        page.element("camera").click()
        page.wait(lambda: page.run("return $('video').videoWidth > 0 && !$('video').paused"))
    page.element("shoot").click()
    page.wait(lambda: page.element("prepare").is_displayed())
    assert not page.element("viewfinder").is_displayed()
    assert page.run("return tracks.map((track) => track.readyState)") == ["ended", "ended"]
    page.draw(num_samples=1)
    page.wait_until_done()
    assert len(np.unique(page.image("original").reshape(-1, 3), axis=0)) > 20


def test_errors_are_in_plain_words_and_the_page_goes_on(page):
    page.give(b"no picture", "drop", "notes.txt", "text/plain")
    page.wait(lambda: "cannot read that as a picture" in page.text())
    page.give(np.zeros((5, 9, 3), np.uint8), "paste")
    page.wait(lambda: "9 x 5 pixels; the model needs at least 8 x 8" in page.text())
    page.give(np.full((8, 8, 3), 90, np.uint8), "paste")
    page.wait_for_picture(8)
    assert not page.element("trouble").is_displayed()
    page.draw(num_samples=9)  # the browser says it
    assert page.run("return $('num_samples').validity.rangeOverflow")
    page.run("$('num_samples').max = 100")  # a page that does not know
    page.draw(num_samples=9)
    page.wait(lambda: "Num_samples must be 1 to 8, not '9'" in page.text())
    page.draw(num_samples=1)
    page.wait_until_done()


@in_chromium
@pytest.mark.parametrize(("width", "height"), [(360, 640), (640, 360)])
def test_a_telephone(page, width, height):
    page.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True},
    )
    try:
        page.give(np.asarray(Image.open(EXAMPLES / "grace_hopper.jpg")), "file")
        page.wait_for_picture(178)
        page.run("$('stage').scrollIntoView({block: 'center'})")
        x, y, side = page.run(
            "const b = $('stage').getBoundingClientRect(); return [b.x, b.y, b.width]"
        )
        before = page.run("return view.side")

        def touch(kind, *points):
            page.browser.execute_cdp_cmd(
                "Input.dispatchTouchEvent",
                {"type": kind, "touchPoints": [{"x": x + a, "y": y + b} for a, b in points]},
            )

        middle = side / 2
        touch("touchStart", (middle - 20, middle), (middle + 20, middle))
        touch("touchMove", (middle - 40, middle), (middle + 40, middle))
        touch("touchEnd")
        assert page.run("return view.side") == pytest.approx(before / 2, rel=0.05)
        page.run("$('draw').scrollIntoView({block: 'center'})")
        page.draw(num_samples=2)
        page.wait_until_done()
        assert page.run("return document.documentElement.scrollWidth") <= width
        assert page.figures()[2].rect["width"] >= 90
        page.wait_for_inside()
        page.run("$('viewer').scrollIntoView({block: 'center'})")
        x, y, side = page.run(
            "const b = $('viewer').getBoundingClientRect(); return [b.x, b.y, b.width]"
        )
        assert side > 250
        touch("touchStart", (side / 2, side / 2))
        touch("touchMove", (side * 0.1, side * 0.9))
        touch("touchEnd")
        assert page.element("place").text == "row 29, column 4"
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_is_asked_for_twice_is_drawn_once(page):
    """The last one, with what was set then; the first is given up."""
    page.give(np.full((8, 8, 3), 90, np.uint8), "paste")
    page.wait_for_picture(8)
    page.run("""
        window.asked = [];
        const before = window.fetch;
        window.fetch = async (path, options) => {
          if (options.method) asked.push(options.method);
          if (asked.length === 1 && options.method === "POST") {
            await new Promise((done) => setTimeout(done, 1500));
          }
          return before(path, options);
        };
        $("draw").click();
        $("seed").value = 2;
        $("draw").click();""")
    page.wait_until_done()
    expected = prsr.load("faces").sample(np.full((8, 8, 3), 90, np.uint8), 4, seed=2, **BEST)
    np.testing.assert_array_equal(page.image("sample 1"), expected[0])
    page.wait(lambda: page.run("return asked") == ["POST", "POST", "DELETE"])
    assert not page.element("trouble").is_displayed()
    np.testing.assert_array_equal(page.image("sample 1"), expected[0])


def test_transparent_parts_are_white_and_grey_models_are_grey(page):
    transparent = np.zeros((8, 8, 4), np.uint8)
    page.give(transparent, "paste")
    page.wait_for_picture(8)
    page.draw(num_samples=1)
    page.wait_until_done()
    assert (page.image("input") == 255).all()
    pixels = page.run("""
        about.channels = 1;
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 2;
        put(canvas, Uint8Array.from([0, 128, 255, 7]), 0);
        return [...canvas.getContext("2d").getImageData(0, 0, 2, 2).data];""")
    assert np.reshape(pixels, (4, 4)).tolist() == [[v, v, v, 255] for v in (0, 128, 255, 7)]


def own_input(page, **numbers):
    """Draws from 8x8 pixels of a face; returns them."""
    square_of_face = square(EXAMPLES / "eileen_collins.jpg")
    low_res = np.asarray(images.downsample(images.resize(square_of_face, (32, 32)), 4))
    page.give(low_res, "file")
    page.wait_for_picture(8)
    page.draw(**numbers)
    page.wait_until_done()
    page.wait_for_inside()
    return low_res


def look_inside(page):
    """What is said of pixels, and the overlays, are `prsr.load(...).inspect`'s numbers."""
    page.run("""
        window.paths = [];
        const before = window.fetch;
        window.fetch = (path, options) => { paths.push(path); return before(path, options); };""")
    low_res = own_input(page, num_samples=1)
    model = prsr.load("faces")
    expected = model.inspect(low_res[None], page.image("sample 1")[None])
    page.click("asDrawn")  # off: as the model learnt it
    viewer = page.element("viewer")
    page.run("arguments[0].scrollIntoView({block: 'center'})", viewer)
    viewer.send_keys(*[Keys.ARROW_LEFT] * 3, *[Keys.ARROW_DOWN] * 2)
    assert page.element("place").text == "row 19, column 14"
    kinds = ("conditioning", "prior", "joint")
    rows = page.browser.find_elements(By.CSS_SELECTOR, "#opinions tr")
    assert len(rows) == 3
    for c, row in enumerate(rows):
        value = page.image("sample 1")[18, 13, c]
        assert row.find_element(By.TAG_NAME, "th").text == f"{'RGB'[c]} {value}"
        for kind, cell in zip(kinds, row.find_elements(By.TAG_NAME, "td")):
            nats = float(cell.text.split()[0])
            assert nats == pytest.approx(expected[f"{kind}_nats"][0, 18, 13, c], abs=0.06)
    page.wait(lambda: "Row 19, column 14." in page.element("spoken").get_attribute("textContent"))
    found = page.run("const m = measures(selected); return [m.nats, m.entropy].map((x) => [...x])")
    for values, name in zip(found, ("joint_nats", "joint_entropy_bits")):
        off = np.array(values) - expected[name][0].sum(-1).reshape(-1)
        assert np.abs(off).max() < 0.25 and np.abs(off).mean() < 0.03
    decided = page.run("return [...measures(selected).decided]")
    by_a, by_b = (expected[f"{k}_moved_bits"][0].sum(-1) for k in ("conditioning", "prior"))
    np.testing.assert_allclose(decided, (by_a / (by_a + by_b)).reshape(-1), atol=0.05)
    for choice in page.browser.find_elements(By.NAME, "overlay")[1:]:
        choice.click()
        assert page.element("legend").is_displayed()
        pixels = page.run(
            "return [...$('overlay').getContext('2d').getImageData(0, 0, 32, 32).data]"
        )
        assert len(np.unique(np.reshape(pixels, (-1, 4)), axis=0)) > 50
    assert len([path for path in page.run("return paths") if "inside" in path]) == 2


def test_draw_on(page):
    """What comes before the pixel stays, the rest is drawn anew; painted or not; and undone."""
    low_res = own_input(page, num_samples=1)
    first = page.image("sample 1")
    page.run("Math.random = () => 0.5; choose({ x: 5, y: 20 })")
    page.click("drawOn")
    page.wait(lambda: "continued 1" in page.names())
    page.wait_until_done()
    given = first.reshape(-1, 3).astype(int)
    given[20 * 32 + 5 :] = -1
    model = prsr.load("faces")
    options = {"seed": 2**30, **BEST}
    expected = model.sample(low_res, given=given.reshape(32, 32, 3), **options)[0]
    np.testing.assert_array_equal(page.image("continued 1"), expected)
    page.wait_for_inside()
    page.click("paint")
    page.run("$('color').value = '#ff8000'; $('brush').value = 4; $('viewer').focus()")
    page.run("choose({ x: 10, y: 3 })")
    page.element("viewer").send_keys(Keys.SPACE)
    assert not page.element("inside").is_displayed()  # nobody knows yet what the model says of it
    page.element("viewer").send_keys(Keys.ENTER)
    page.wait(lambda: "continued 2" in page.names())
    page.wait_until_done()
    painted = expected.astype(int)
    painted[2:6, 9:13] = 255, 128, 0
    painted.reshape(-1, 3)[5 * 32 + 13 :] = -1
    expected = model.sample(low_res, given=painted, **options)[0]
    np.testing.assert_array_equal(page.image("continued 2"), expected)
    page.wait_for_inside()
    for left in (["continued 1"], ["continued 1"], []):  # the drawing, the paint, the drawing
        page.click("undo")
        assert page.names() == ["input", "bicubic", "sample 1", *left]
    assert not page.element("undo").is_enabled()


def test_look_inside(page):
    look_inside(page)


def test_in_webkit(webkit, demo):
    """The engine of Safari; the other tests are tried in it by `pytest -m slow`."""
    look_inside(Page(webkit, demo[1]))


def test_as_in_the_paper(page):
    def now():
        values = [page.element(name).get_property("value") for name in ("tau", "guidance")]
        return [*values, page.element("match").is_selected()]

    page.give(np.full((8, 8, 3), 90, np.uint8), "file")
    page.wait_for_picture(8)
    assert now() == ["1.2", "2", True] and "3 times as much" in page.element("manner").text
    page.click("paper")
    assert now() == ["1.1", "0", False] and "as in the paper" in page.element("manner").text
    page.run("$('more').open = true")
    page.click("match")
    assert not page.element("paper").is_selected()


def test_pictures_are_compared_and_a_link_draws_them_again(browser, page, demo):
    low_res = own_input(page, num_samples=2, seed=9, tau=1.4)
    page.run("$('split').value = 30; $('split').oninput();")
    assert page.run("return $('other').style.clipPath").startswith("inset(0px 70%")
    first, link = page.image("sample 2"), page.run("return location.href")
    again = Page(browser, link)
    again.wait_until_done()
    np.testing.assert_array_equal(again.image("input"), low_res)
    np.testing.assert_array_equal(again.image("sample 2"), first)
    broken = Page(browser, f"{demo[1]}#x=AAAA&tau=1&guidance=0&match=off&samples=1&seed=1")
    broken.wait(lambda: "link is broken" in broken.text())


@in_chromium
def test_a_browser_of_2021(browser, demo):
    """Newer pieces are taken away before the page runs."""
    added = browser.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": hosts.WITHOUT_NEWER_PIECES}
    )
    try:
        page = Page(browser, demo[1])
        assert page.run("return AbortSignal.timeout || [].at || null") is None
        own_input(page, num_samples=1)
        page.click("drawOn")
        page.wait(lambda: "continued 1" in page.names())
        page.wait_until_done()
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_behind_a_path_and_in_a_frame(browser, demo, host):
    with hosts.behind(demo[1], "/deep/prsr/") as address:
        page = Page(browser, address + "deep/prsr/")
        own_input(page, num_samples=1)
    framed = demo[1].replace("127.0.0.1", "localhost")
    browser.get(f"{host}?{framed}")
    browser.switch_to.frame("frame")
    page = Page.__new__(Page)
    page.browser = browser
    page.wait(lambda: "the model draws" in page.text())
    own_input(page)  # WebKit's driver cannot type in a frame
    with hosts.framing() as other:
        browser.get(f"{other}?{framed}")
        time.sleep(1)
        browser.switch_to.frame("frame")
        assert "the model draws" not in browser.find_element(By.TAG_NAME, "body").text


def test_a_server_that_is_stopped_is_said_to_be(browser, demo):
    with hosts.behind(demo[1], "/") as address:
        page = Page(browser, address)
        page.wait(lambda: page.browser.find_elements(By.CSS_SELECTOR, "#examples button"))
    page.browser.find_elements(By.CSS_SELECTOR, "#examples button")[0].click()
    page.wait(lambda: "The server is not answering" in page.text())
