"""The page in real browsers, Chromium and WebKit, served by the command with its model.

tests/pages/browser_test.py has the one that always runs.
"""

import base64
import io

import numpy as np
import pytest
from PIL import Image

import prsr
from prsr import images
from prsr.data import faces, preprocessing
from prsr.workdir import pretrained
from tests import hosts
from tests.conftest import in_chromium, start
from tests.data.pictures import encoded
from tests.pages.browsers import ActionChains, By, Keys, Visitor, of_2021, phone

pytestmark = pytest.mark.slow

GREY = np.full((8, 8, 3), 90, np.uint8)
BEST = {"tau": 1.2, "guidance": 2, "match_input": True}
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


class Page(Visitor):
    """A person at the page."""

    def __init__(self, browser, address):
        super().__init__(browser)
        browser.get("about:blank")
        browser.get(address)
        self.wait_for_text("the model draws")
        # Records when which row was put where.
        self.run("""
            window.puts = [];
            const put = CanvasRenderingContext2D.prototype.putImageData;
            CanvasRenderingContext2D.prototype.putImageData = function (image, x, y) {
              puts.push([image.height, y, performance.now()]);
              return put.call(this, image, x, y);
            };""")

    def wait_until_done(self):
        self.wait(lambda: self.element("status").text == "Done.")

    def draw(self, **numbers):
        self.run("$('more').open = true")
        for name, value in numbers.items():
            self.element(name).clear()
            self.element(name).send_keys(str(value))
        self.click("draw")
        self.wait_until_done()

    def click(self, name):
        self.box(name)
        self.element(name).click()

    def wait_for_inside(self):
        self.wait(lambda: self.element("inside").is_displayed())

    def give(self, image, by="file"):
        """Opens, drops or pastes a picture, and waits for it; or a file's bytes."""
        is_file = isinstance(image, bytes)
        content = image if is_file else encoded(Image.fromarray(image), "PNG")
        self.run(
            """
            const [text, by] = arguments;
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const given = new DataTransfer();
            given.items.add(new File([bytes], "mine.png", { type: "image/png" }));
            if (by === "file") {
              document.getElementById("file").files = given.files;
              document.getElementById("file").dispatchEvent(new Event("change"));
            } else if (by === "paste") {
              document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: given }));
            } else {
              document.body.dispatchEvent(
                new DragEvent("drop", { dataTransfer: given, bubbles: true, cancelable: true }));
            }""",
            base64.b64encode(content).decode(), by,
        )  # fmt: skip
        script = "return picture && picture.width"
        self.wait(lambda: is_file or self.run(script) == image.shape[1])

    def names(self):
        return [figure.get_attribute("data-name") for figure in self.elements("figure")]

    def image(self, name):
        """The pixels of a figure's canvas, through its download."""
        (link,) = self.elements(f"figure[data-name='{name}'] a")
        url = link.get_attribute("href")
        content = base64.b64decode(url.removeprefix("data:image/png;base64,"))
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.fixture
def page(browser, demo):
    return Page(browser, demo[1])


def square(path):
    return preprocessing.crop(np.asarray(Image.open(path)), "celeba")


def test_the_face_is_found(page):
    """A face in a turned photograph with a margin is cropped as by --align."""
    pytest.importorskip("mtcnn")
    photograph = Image.open(EXAMPLES / "eileen_collins.jpg")
    canvas = Image.new("RGB", (400, 400), "gray")
    canvas.paste(photograph.resize((356, 436)), (30, -20))
    turned = np.asarray(canvas.rotate(12, Image.Resampling.BICUBIC))
    page.give(turned)
    page.element("find").click()
    page.wait(lambda: page.run("return view.turn") != 0)
    eyes = faces.detector()(turned)[1]
    view = page.run("return view")
    cos, sin = np.cos(view["turn"]), np.sin(view["turn"])
    for (x, y), goal in zip(eyes - (view["x"], view["y"]), faces.EYES_IN_CROP):
        place = np.array([x * cos + y * sin, y * cos - x * sin]) / view["side"] + 0.5
        assert np.abs(place - goal).max() < 0.02
    page.draw(num_samples=1)
    low_res = prsr.load("faces").low_res(faces.align(turned, eyes)).astype(int)
    assert np.abs(page.image("input") - low_res).mean() < 6
    assert np.abs(page.image("input") - low_res[:, ::-1]).mean() > 12


@in_chromium
def test_the_crop_is_moved_and_enlarged(page):
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 100:] = 255
    page.give(picture, "drop")
    assert page.run("return [view.x, view.y, view.side]") == [100, 50, 100]
    stage, width = page.element("stage"), page.box("stage")[2]
    ActionChains(page.browser).drag_and_drop_by_offset(stage, -width / 2, 0).perform()
    assert page.run("return view.x") == pytest.approx(150, abs=1)
    page.draw(num_samples=1)
    assert (page.image("input") == 255).all()  # the right half alone
    page.run("$('zoom').value = 1; $('zoom').oninput();")
    assert page.run("return view.side") == pytest.approx(8)
    page.run("$('zoom').value = 0; $('zoom').oninput();")
    assert page.run("return view.side") == pytest.approx(200)
    stage.send_keys("\ue012")  # the left arrow
    assert page.run("return view.x") == pytest.approx(146, abs=1)


@in_chromium
def test_a_photograph_from_the_camera_is_drawn(page):
    page.element("camera").click()
    page.wait(lambda: page.run("return $('video').videoWidth > 0 && !$('video').paused"))
    page.run("window.tracks = $('video').srcObject.getTracks()")
    page.element("shoot").click()
    page.wait(lambda: page.element("prepare").is_displayed())
    assert not page.element("viewfinder").is_displayed()
    assert page.run("return tracks.map((track) => track.readyState)") == ["ended"]
    page.draw(num_samples=1)
    assert len(np.unique(page.image("original").reshape(-1, 3), axis=0)) > 20


def test_errors_are_shown_and_the_page_goes_on(page):
    page.give(b"no picture", "drop")
    page.wait_for_text("cannot read that as a picture")
    page.give(encoded(Image.new("RGB", (9, 5)), "PNG"), "paste")
    page.wait_for_text("9 x 5 pixels; the model needs at least 8 x 8")
    page.give(GREY, "paste")
    assert not page.element("trouble").is_displayed()
    page.run("$('num_samples').max = 100; $('num_samples').value = 9; $('draw').click()")
    page.wait_for_text("Num_samples must be 1 to 8, not '9'")
    page.draw(num_samples=1)


@in_chromium
@pytest.mark.parametrize(("width", "height"), [(360, 640), (640, 360)])
def test_the_demo_works_on_a_phone_of_2021(browser, demo, width, height):
    with phone(browser, width, height), of_2021(browser):
        page = Page(browser, demo[1])
        page.give(np.asarray(Image.open(EXAMPLES / "grace_hopper.jpg")))
        x, y, side = page.box("stage")
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
        page.draw(num_samples=2)
        assert page.run("return document.documentElement.scrollWidth") <= width
        assert page.elements("figure")[2].rect["width"] >= 90
        page.wait_for_inside()
        x, y, side = page.box("viewer")
        assert side > 250
        touch("touchStart", (side / 2, side / 2))
        touch("touchMove", (side * 0.1, side * 0.9))
        touch("touchEnd")
        assert page.element("place").text == "row 29, column 4"


def test_of_two_requests_only_the_last_is_drawn(page):
    page.give(GREY, "paste")
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
    page.wait(lambda: page.run("return asked") == ["POST", "POST", "DELETE"])
    assert not page.element("trouble").is_displayed()
    expected = prsr.load("faces").sample(GREY, 4, seed=2, **BEST)
    np.testing.assert_array_equal(page.image("sample 1"), expected[0])


def test_transparent_parts_are_white_and_grey_models_are_grey(page):
    page.give(np.zeros((8, 8, 4), np.uint8), "paste")
    page.draw(num_samples=1)
    assert (page.image("input") == 255).all()
    pixels = page.run("""
        about.channels = 1;
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 2;
        put(canvas, Uint8Array.from([0, 128, 255, 7]), 0);
        return [...canvas.getContext("2d").getImageData(0, 0, 2, 2).data];""")
    assert np.reshape(pixels, (4, 4)).tolist() == [[v, v, v, 255] for v in (0, 128, 255, 7)]


def draw_face(page, **numbers):
    """Draws from 8x8 pixels of a face; returns them."""
    square_of_face = square(EXAMPLES / "eileen_collins.jpg")
    low_res = np.asarray(images.downsample(images.resize(square_of_face, (32, 32)), 4))
    page.give(low_res)
    page.draw(**numbers)
    page.wait_for_inside()
    return low_res


def test_inside_values_equal_those_of_inspect(page):
    """Numbers for pixels and overlays are those of `prsr.load(...).inspect`."""
    low_res = draw_face(page, num_samples=1)
    expected = prsr.load("faces").inspect(low_res[None], page.image("sample 1")[None])
    page.click("asDrawn")  # off: the model's own distributions
    page.wait(lambda: page.run("return insides.size") == 2)
    page.wait_for_inside()
    page.element("viewer").send_keys(*[Keys.ARROW_LEFT] * 3, *[Keys.ARROW_DOWN] * 2)
    assert page.element("place").text == "row 19, column 14"
    values = page.image("sample 1")[18, 13]
    for c, row in enumerate(page.elements("#opinions tr")):
        assert row.find_element(By.TAG_NAME, "th").text == f"{'RGB'[c]} {values[c]}"
        cells = row.find_elements(By.TAG_NAME, "td")
        for kind, cell in zip(("conditioning", "prior", "joint"), cells):
            nats = float(cell.text.split()[0])
            assert nats == pytest.approx(expected[f"{kind}_nats"][0, 18, 13, c], abs=0.01)
    page.wait(lambda: "Row 19, column 14." in page.element("spoken").get_attribute("textContent"))
    for choice in page.browser.find_elements(By.NAME, "overlay")[1:]:
        choice.click()
        assert page.element("legend").is_displayed()
        script = "return [...$('overlay').getContext('2d').getImageData(0, 0, 32, 32).data]"
        pixels = page.run(script)
        assert len(np.unique(np.reshape(pixels, (-1, 4)), axis=0)) > 50
    surprise, entropy, _ = page.run("return numbers.maps.map((map) => [...map])")
    for numbers, name in ((surprise, "joint_nats"), (entropy, "joint_entropy_bits")):
        np.testing.assert_allclose(numbers, expected[name][0].sum(-1).reshape(-1), rtol=0.01)


def test_an_image_is_continued_painted_and_undone(page):
    """What precedes the pixel stays, and the rest is drawn again; undo reverts it."""
    low_res = draw_face(page, num_samples=1)
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
    assert not page.element("inside").is_displayed()  # the model has not seen it yet
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


def test_another_model_is_chosen(page):
    """Bedrooms have their own examples, a plain square, and here the paper's settings."""
    page.elements("#models a")[1].click()
    page.wait(lambda: len(page.elements("#examples img")) == 4)
    page.elements("#examples button")[1].click()
    page.wait_until_done()
    assert "model=bedrooms#x=" in page.run("return location.href")
    assert "Drag the picture" in page.element("advice").text
    assert not page.element("find").is_displayed() and not page.element("paper").is_displayed()
    example = Image.open(pretrained.workdir("bedrooms").path / "examples" / "LSUN_005dc2be.png")
    expected = prsr.load("bedrooms").sample(np.asarray(example), 4)
    np.testing.assert_array_equal(page.image("sample 4"), expected[3])


def test_one_button_sets_the_paper_s_settings(page):
    page.give(GREY)
    now = "return [$('tau').value, $('guidance').value, $('match').checked]"
    assert page.run(now) == ["1.2", "2", True]
    assert "3 times as much" in page.element("manner").text
    page.click("paper")
    assert page.run(now) == ["1.1", "0", False]
    assert "as in the paper" in page.element("manner").text


def test_pictures_are_compared_and_a_link_draws_them_again(browser, page, demo):
    low_res = draw_face(page, num_samples=2, seed=9, tau=1.4)
    page.run("$('split').value = 30; $('split').oninput();")
    assert page.run("return $('other').style.clipPath").startswith("inset(0px 70%")
    first, link = page.image("sample 2"), page.run("return location.href")
    for one in (link, link.replace("match=true", "match=end")):  # the latter of version 0.2
        again = Page(browser, one)
        again.wait_until_done()
        np.testing.assert_array_equal(again.image("input"), low_res)
        np.testing.assert_array_equal(again.image("sample 2"), first)
    broken = Page(browser, f"{demo[1]}#x=AAAA&tau=1&guidance=0&match=off&samples=1&seed=1")
    broken.wait_for_text("link is broken")


def test_behind_a_path_and_in_a_frame(browser, demo, host):
    with hosts.behind(demo[1], "/deep/prsr/") as address:
        page = Page(browser, address + "deep/prsr/")
        draw_face(page, num_samples=1)
    browser.get(f"{host}?{demo[1].replace('127.0.0.1', 'localhost')}")
    browser.switch_to.frame("frame")
    page = Page.__new__(Page)
    page.browser = browser
    page.wait_for_text("the model draws")
    draw_face(page)  # WebKit's driver cannot type in a frame


def test_a_stopped_server_is_reported(browser, demo):
    with hosts.behind(demo[1], "/") as address:
        page = Page(browser, address)
        page.wait(lambda: page.elements("#examples button"))
    page.elements("#examples button")[0].click()
    page.wait_for_text("The server is not answering")
