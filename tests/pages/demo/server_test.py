"""The demonstration's server, asked without a browser."""

import base64
import dataclasses
import gzip
import io
import struct

import numpy as np
import pytest
from PIL import Image

import prsr.api
from prsr.hparams import Sampling
from prsr.pages.demo import drawing, server
from prsr.workdir.directory import Workdir
from tests.data.pictures import encoded
from tests.runs import wait_for

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8)
FILE = encoded(Image.fromarray(PICTURE), "PNG")
QUERY = {"tau": "1.1", "guidance": "0", "match_input": "false", "num_samples": "2", "seed": "3"}


def bomb():
    """A BMP of a few bytes that says that it is 60,000 x 60,000."""
    content = encoded(Image.fromarray(PICTURE), "BMP")
    return content[:18] + struct.pack("<ii", 60000, 60000) + content[26:]


def find_eyes(image):
    return (1, np.array([[1.0, 2.0], [3.0, 2.0]])) if image.max() else (0, None)


@pytest.fixture(scope="module")
def drawer(tiny_run):
    hparams, model = Workdir(tiny_run).load_model()
    hparams = dataclasses.replace(hparams, sampling=Sampling(1.3, 4.0))
    with drawing.Drawer(hparams, lambda: model) as drawer:
        drawer.workdir = tiny_run
        yield drawer


@pytest.fixture(scope="module")
def app(drawer):
    return server.create_app({"run": (drawer, [("one", PICTURE)], find_eyes)})


@pytest.fixture
def client(app):
    return app.test_client()


def draw(client, body, path="/api/run/pictures", **query):
    """Submits a picture and waits for its end; returns its address and the last answer."""
    answer = client.post(path, query_string=QUERY | query, data=body)
    assert answer.status_code == 202, answer.json
    address = f"/api/run/pictures/{answer.json['id']}"
    wait_for(lambda: client.get(address + "?row=0").json["state"] == "done")
    return address, client.get(address + "?row=0").json


def pixels(text, *shape):
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)


def test_about_describes_the_model(client):
    about = client.get("/api/run/about").json
    sizes = {"size": 8, "low_size": 2, "channels": 3, "max_samples": 8}
    assert about.items() >= (sizes | {"eyes": None, "finds_eyes": True}).items()
    assert about["examples"] == ["one"]
    assert about["best"] == {"tau": 1.3, "guidance": 4.0, "match_input": False}
    assert about["paper"] == {"tau": 1.1, "guidance": 0.0, "match_input": False}
    example = client.get("/api/run/examples/0")
    np.testing.assert_array_equal(Image.open(io.BytesIO(example.data)), PICTURE)
    assert client.get("/api/run/examples/1").status_code == 404


def test_a_model_is_loaded_once_it_is_chosen(drawer):
    loaded = []
    other = drawing.Drawer(drawer.hparams, lambda: loaded.append(1) or drawer.model)
    choices = {"run": (drawer, [], None), "other": (other, [], None)}
    client = server.create_app(choices).test_client()
    assert client.get("/api/models").json == ["run", "other"] and not loaded
    wait_for(lambda: client.get("/api/other/about").json["ready"])
    assert loaded == [1]
    other.__exit__()


def test_a_picture_is_drawn_and_deleted(client, drawer):
    address, answer = draw(client, FILE)
    picture, _ = drawer.look(address.rsplit("/")[-1])
    rows = np.stack([pixels(row, 2, 8, 3) for row in answer["rows"]], axis=1)
    np.testing.assert_array_equal(rows, picture.samples())
    np.testing.assert_array_equal(pixels(answer["images"]["input"], 2, 2, 3), picture.low_res)
    assert set(answer["images"]) == {"input", "bicubic", "original"}
    assert len(answer["nats"]["samples"]) == 2
    assert answer["dimensions"] == pytest.approx(8 * 8 * 3 * np.log(2))
    later = client.get(address + "?row=6").json
    assert later["rows"] == answer["rows"][6:] and later["row"] == 6
    assert "images" not in later  # once is enough
    grid = Image.open(io.BytesIO(client.get(address + "/grid.png").data))
    assert grid.width > 5 * 128  # input, bicubic, original, two samples
    assert client.delete(address).status_code == 200
    assert client.get(address + "?row=0").status_code == 404


def test_a_picture_is_continued(client, drawer):
    """The first pixels stay, and the rest is what `sample` draws with matching."""
    address, _ = draw(client, FILE)
    given = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    query = QUERY | {"keep": "20", "guidance": "2", "match_input": "true"}
    _, answer = draw(client, given.tobytes(), address, **query)
    (text,) = answer["matched"]
    drawn = pixels(text, 8, 8, 3)
    model = prsr.api.load(drawer.workdir)
    low_res = model.low_res(PICTURE)
    kept = given.astype(int)
    kept.reshape(-1, 3)[20:] = -1
    options = {"tau": 1.1, "guidance": 2, "match_input": True, "seed": 3}
    np.testing.assert_array_equal(drawn, model.sample(low_res, given=kept, **options)[0])
    assert (drawn.reshape(-1, 3)[:20] == given.reshape(-1, 3)[:20]).all()
    for path, keep, data, status, words in (
        (address, "64", given.tobytes(), 400, "keep must be 0 to 63"),
        (address, "20", b"12", 422, "2 bytes; expected 192"),
        ("/api/run/pictures/none", "20", given.tobytes(), 404, "no longer here"),
    ):
        answer = client.post(path, query_string=query | {"keep": keep}, data=data)
        assert answer.status_code == status and words in answer.json["error"]


def test_inside_are_the_distributions_of_a_b_and_their_sum(client, drawer):
    address, answer = draw(client, FILE)
    model = prsr.api.load(drawer.workdir)
    bicubic = pixels(answer["images"]["bicubic"], 8, 8, 3)
    expected = model.inspect(model.low_res(PICTURE)[None], bicubic[None])
    expected = {name: array[0] for name, array in expected.items()}
    for tau, guidance in ((2, 3), (1, 0)):
        query = {"tau": tau, "guidance": guidance}
        response = client.get(f"{address}/inside/bicubic", query_string=query)
        assert response.headers["Content-Encoding"] == "gzip"
        content = gzip.decompress(response.data)
        count = 3 * 8 * 8 * 3  # of networks' sub-pixels
        bars = np.frombuffer(content, np.uint8, 256 * count).reshape(3, 8, 8, 3, 256)
        nats = np.frombuffer(content, "<f4", count, 256 * count).reshape(3, 8, 8, 3)
        maps = np.frombuffer(content, "<f4", offset=260 * count).reshape(3, 8, 8)
        a, b = expected["conditioning_logits"], expected["prior_logits"]
        a, b = tau * (1 + guidance) * a, tau * b
        for k, logits in enumerate((a, b, a + b)):
            relative = np.exp(logits - logits.max(-1, keepdims=True))
            np.testing.assert_allclose(bars[k] / 255, relative, atol=0.003)
            probabilities = relative / relative.sum(-1, keepdims=True)
            there = np.take_along_axis(probabilities, bicubic[..., None].astype(int), -1)[..., 0]
            np.testing.assert_allclose(nats[k], -np.log(there), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(maps[0], nats[2].sum(-1), rtol=1e-4)
    by_a, by_b = (expected[f"{k}_moved_bits"].sum(-1) for k in ("conditioning", "prior"))
    np.testing.assert_allclose(maps[1], expected["joint_entropy_bits"].sum(-1), rtol=1e-4)
    np.testing.assert_allclose(maps[2], by_a / (by_a + by_b), atol=0.01)


def test_looking_inside_is_limited_to_what_is_shown(client):
    address, _ = draw(client, FILE)

    def look(name, address=address, **query):
        query = {"tau": 1, "guidance": 0} | query
        return client.get(f"{address}/inside/{name}", query_string=query)

    assert look("sample 2").status_code == look("original").status_code == 200
    for missing in (look("sample 3"), look("input"), look("original", "/api/run/pictures/no")):
        assert missing.status_code == 404
    for wrong in ({"tau": "inf"}, {"tau": "0"}, {"guidance": "-1"}):
        assert look("original", **wrong).status_code == 400


def test_other_sites_may_link_to_the_page_but_not_use_its_api(client):
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    for path in ("/", "/static/page.js"):
        assert client.get(path, headers=elsewhere).status_code == 200
    assert client.get("/api/run/about", headers=elsewhere).status_code == 403
    body = {"query_string": QUERY, "data": FILE}
    answer = client.post("/api/run/pictures", headers=elsewhere, **body)
    assert answer.status_code == 403 and "from another site" in answer.json["error"]


def test_eyes_are_found_or_refused(client, app, drawer):
    assert client.post("/api/run/eyes", data=FILE).json == {"eyes": [[1, 2], [3, 2]]}
    black = client.post("/api/run/eyes", data=encoded(Image.fromarray(PICTURE * 0), "PNG"))
    assert black.status_code == 422 and "no frontal face" in black.json["error"]
    without = server.create_app({"run": (drawer, [], None)}).test_client()
    assert without.post("/api/run/eyes", data=FILE).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "not a readable picture"),
        (b"%PDF-1.4 not one", 422, "not a readable picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 422, "not a readable picture"),
        (FILE[:60], 422, "not a readable picture"),
        (bomb(), 422, "not a readable picture"),
        (encoded(Image.new("L", (1024, 1025)), "PNG"), 422, "1024x1025 pixels are too many"),
        (encoded(Image.new("RGB", (20, 1)), "PNG"), 422, "20x1 is smaller than 2x2"),
        (bytes(2 * 2**20 + 1), 413, "larger than 2 MiB"),
    ],
)
def test_an_unreadable_picture_is_refused(client, body, status, words):
    answer = client.post("/api/run/pictures", query_string=QUERY, data=body)
    assert answer.status_code == status and words in answer.json["error"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tau": "0"}, {"tau": "nan"}, {"tau": ""}, {"tau": "x" * 5000}, {"num_samples": "9"},
        {"guidance": "-1"}, {"guidance": "inf"}, {"match_input": "end"}, {"match_input": ""},
        {"num_samples": "0"}, {"num_samples": "1.5"}, {"seed": "-1"}, {"seed": str(2**31)},
    ],
)  # fmt: skip
def test_invalid_settings_are_refused(client, wrong):
    answer = client.post("/api/run/pictures", query_string=QUERY | wrong, data=FILE)
    (name,) = wrong
    assert answer.status_code == 400 and answer.json["error"].startswith(f"{name} must be")
    assert len(answer.json["error"]) < 120
