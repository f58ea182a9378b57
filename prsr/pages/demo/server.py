"""The server behind the web page for trying out models.

GET    /                    the page; /?model=MODEL chooses a model
GET    /api/models          the models' names; the page begins with the first

The first request below /api/MODEL/ begins to load the model. The settings of sampling are in the
query: tau, guidance, match_input, seed.

GET    about                what the page needs to know about the model
GET    examples/N           an example picture for a first try, as PNG
POST   eyes                 an image; the answer has the positions of the eyes of its largest face
POST   pictures             an image, and `num_samples` to draw; the answer has the picture's id
POST   pictures/ID          an image's pixels, of which a new sample of ID's input keeps the first
                            `keep`; the answer has the new id
GET    pictures/ID?row=R    its state, the rows from R on, the images beside them if R = 0, and once
                            it is done, the nats, and the samples if they were matched
DELETE pictures/ID          drops it, as nobody is waiting for it any more
GET    pictures/ID/grid.png   everything shown, in one image, once it is done
GET    pictures/ID/inside/NAME   `Drawer.inside`: what A, B and A + B predict for its image NAME

An image is a request body of at most `_MAX_BYTES`: JPEG, PNG, WebP, BMP or GIF. It is kept in
memory only. Pixels are uint8, ordered by rows, columns, channels, and base64 in answers. Errors
are `{"error": what was expected, what was received, what to do}`.
"""

import base64
import dataclasses
import io
import math
import sys
import threading

import flask
import numpy as np
from PIL import Image

from prsr import images, plotting
from prsr.data import decoding, faces, inputs
from prsr.hparams import Sampling
from prsr.models import losses
from prsr.pages import web
from prsr.pages.demo.drawing import MAX_SAMPLES, PictureGone, QueueFull

_MAX_BYTES = 2 * 2**20
_MAX_PIXELS = 2**20  # the page sends fewer, and decoding takes far more memory than the file


def create_app(choices, framed_by=()):
    """Creates the page and the API that it calls, a `flask.Flask`.

    Args:
        choices: dict from a model's name to its `prsr.pages.demo.drawing.Drawer`; its examples, a
            list of names and images, `[height, width, channels]` uint8; and what
            `prsr.data.faces.detector` returned, or None.
        framed_by: as `prsr.pages.web.application`.
    """
    app = web.application("prsr.pages.demo", _MAX_BYTES, framed_by)
    for name, choice in choices.items():
        app.register_blueprint(_api(*choice), name=name, url_prefix=f"/api/{name}")

    @app.get("/api/models")
    def models():
        return list(choices)

    @app.before_request
    def refuse_other_sites():
        # Another site may link to the page, or show it in a frame, but not use its API.
        is_work = flask.request.path.startswith("/api/")
        if is_work and flask.request.headers.get("Sec-Fetch-Site") == "cross-site":
            flask.abort(403, "this request came from another site")

    @app.errorhandler(PictureGone)
    def gone(error):
        return {"error": "this picture is no longer here; draw it again"}, 404

    @app.errorhandler(QueueFull)
    def full(error):
        return {"error": str(error)}, 503

    @app.errorhandler(413)
    def too_large(error):
        words = f"the picture is larger than {_MAX_BYTES // 2**20} MiB; choose a smaller one"
        return {"error": words}, 413

    @app.errorhandler(Exception)
    def failed(error):
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        return {"error": "this did not work; the server's terminal shows why"}, 500

    return app


def _api(drawer, examples, find_eyes):
    """The API of a model, a `flask.Blueprint`."""
    api = flask.Blueprint("api", __name__)
    hparams = drawer.hparams
    size, channels = hparams.data.image_size, hparams.model.channels
    looking_for_eyes = threading.Lock()
    api.before_request(drawer.start)

    @api.get("/about")
    def about():
        return {
            "ready": drawer.ready,
            "size": size,
            "low_size": size // hparams.model.scale,
            "channels": channels,
            "max_samples": MAX_SAMPLES,
            "best": dataclasses.asdict(hparams.sampling),
            "paper": dataclasses.asdict(Sampling()),
            "examples": [name for name, _ in examples],
            "eyes": faces.EYES_IN_CROP.tolist() if inputs.knows_faces(hparams) else None,
            "finds_eyes": find_eyes is not None,
        }

    @api.get("/examples/<int:number>")
    def example(number):
        if number >= len(examples):
            flask.abort(404, "there is no such example")
        return _png_response(images.to_pil(examples[number][1]))

    @api.post("/eyes")
    def eyes():
        if find_eyes is None:
            flask.abort(404, "this server does not look for faces")
        image = _posted_image(3)
        with looking_for_eyes:
            count, found = find_eyes(image)
        if not count:
            flask.abort(422, "no frontal face found; move the picture by hand")
        return {"eyes": found.tolist()}

    @api.post("/pictures")
    def submit():
        sampling, seed = _query_sampling(), _query_seed()
        num_samples = _query_number(
            "num_samples", int, lambda n: 1 <= n <= MAX_SAMPLES, f"1 to {MAX_SAMPLES}"
        )
        try:
            picture = drawer.submit(_posted_image(channels), num_samples, sampling, seed)
        except ValueError as error:
            flask.abort(422, f"{error} pixels; choose a larger part")
        return {"id": picture.id}, 202

    @api.post("/pictures/<id>")
    def continue_from(id):
        sampling, seed = _query_sampling(), _query_seed()
        keep = _query_number("keep", int, lambda n: 0 <= n < size**2, f"0 to {size**2 - 1}")
        body, shape = flask.request.get_data(), (size, size, channels)
        if len(body) != math.prod(shape):
            flask.abort(422, f"an image of {len(body)} bytes; expected {math.prod(shape)}")
        given = np.frombuffer(body, np.uint8).astype(np.int32).reshape(-1, channels)
        given[keep:] = -1
        picture = drawer.continue_from(id, given.reshape(shape), sampling, seed)
        return {"id": picture.id}, 202

    @api.get("/pictures/<id>")
    def look(id):
        picture, position = drawer.look(id)
        start = _query_number("row", int, lambda n: 0 <= n <= size, f"0 to {size}")
        # Read before the rows: a picture that is done has all of them.
        state = picture.state
        answer = {"state": state, "position": position, "ready": drawer.ready, "row": start}
        if picture.others:  # drawing has begun
            answer["rows"] = [_base64(row) for row in picture.rows[start:]]
            if start == 0:
                shown = {"input": picture.low_res, **picture.others}
                answer["images"] = {name: _base64(image) for name, image in shown.items()}
        if state == "done":
            answer["nats"] = picture.nats
            if picture.matched is not None:
                answer["matched"] = [_base64(sample) for sample in picture.matched]
            answer["dimensions"] = size**2 * channels * math.log(2)
        return answer

    @api.delete("/pictures/<id>")
    def cancel(id):
        drawer.cancel(id)
        return {}

    @api.get("/pictures/<id>/grid.png")
    def grid(id):
        picture, _ = drawer.look(id)
        if picture.state != "done":
            flask.abort(409, "this picture is not finished yet")
        return _png_response(_grid_response(picture))

    @api.get("/pictures/<id>/inside/<name>")
    def inside(id, name):
        tau = _query_number("tau", float, lambda t: 0 < t < math.inf, "a positive, finite number")
        content = drawer.inside(id, name, tau, _query_guidance())
        return flask.Response(
            content, mimetype="application/octet-stream", headers={"Content-Encoding": "gzip"}
        )

    return api


def _posted_image(channels):
    """The image of a request's body, `[height, width, channels]` uint8."""
    body = flask.request.get_data()
    try:
        with Image.open(io.BytesIO(body), formats=decoding.FORMATS) as header:
            width, height = header.size
        if width * height > _MAX_PIXELS:
            flask.abort(422, f"{width}x{height} pixels are too many; choose a smaller picture")
        return decoding.decode(io.BytesIO(body), channels)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        flask.abort(422, "this is not a readable picture (JPEG, PNG, WebP, BMP or GIF)")


def _query_sampling():
    """The `Sampling` that the query asks for."""
    is_matched = _query_number("match_input", str, ("true", "false").__contains__, "true or false")
    tau = _query_number("tau", float, lambda tau: tau > 0, "a positive number")
    return Sampling(tau, _query_guidance(), is_matched == "true")


def _query_guidance():
    return _query_number("guidance", float, lambda g: 0 <= g < math.inf, "0 or more, and finite")


def _query_seed():
    return _query_number("seed", int, lambda n: 0 <= n < 2**31, "0 to 2147483647")


def _query_number(name, kind, is_good, expected):
    """A value from the query, checked."""
    text = flask.request.args.get(name, "")
    try:
        value = kind(text)
        if is_good(value):
            return value
    except ValueError:
        pass
    return flask.abort(400, f"{name} must be {expected}, not '{text[:40]}'")


def _base64(array):
    return base64.b64encode(np.ascontiguousarray(array)).decode()


def _png_response(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return flask.Response(buffer.getvalue(), mimetype="image/png")


def _grid_response(picture):
    """All images with their captions, as a PIL image."""
    shown, nats = picture.shown(), dict(picture.nats)
    nats |= {f"sample {k + 1}": value for k, value in enumerate(nats.pop("samples"))}
    notes = [
        losses.in_words(nats[name], image.shape) if name in nats else ""
        for name, image in shown.items()
    ]
    return plotting.sheet([list(shown.values())], list(shown), [notes])
