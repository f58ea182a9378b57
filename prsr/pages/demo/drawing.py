"""The queue of pictures to super-resolve with a model, and the thread that draws them, row by row.

One picture is drawn at a time, always as a batch of `MAX_SAMPLES` samples. That costs little
more than one sample, and it is compiled only once.
"""

import collections
import dataclasses
import functools
import gzip
import secrets
import sys
import threading
import time

import numpy as np
import tensorflow as tf

from prsr import images
from prsr.data import preprocessing
from prsr.hparams import Sampling
from prsr.models import inspection, likelihood
from prsr.models.pixel_recursive import Logits, guided
from prsr.sampling import cached, noise, projection, samplers
from prsr.system.errors import first_line

MAX_SAMPLES = 8
MAX_WAITING = 20
MAX_KEPT = 100  # finished pictures, for people still looking at them
PATIENCE = 20.0  # seconds after which a picture that nobody asks for is dropped


class QueueFull(Exception):
    """Too many pictures are waiting, so no more are accepted now."""


class PictureGone(KeyError):
    """There is no such picture, or it has been dropped."""


@dataclasses.dataclass(eq=False)
class Picture:
    """A picture in the queue, being drawn, or finished. Images are uint8."""

    low_res: np.ndarray  # [low size, low size, channels]
    high_res: np.ndarray | None  # the original, [size, size, channels]
    num_samples: int  # 1 to `MAX_SAMPLES`
    sampling: Sampling
    seed: int
    given: np.ndarray | None = None  # what the samples continue, int32, -1 where to draw
    id: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(16))
    state: str = "waiting"  # then "drawing", then "done" or "failed"
    rows: list = dataclasses.field(default_factory=list)  # [num_samples, size, channels] each
    matched: np.ndarray | None = None  # the samples after matching, if they are matched
    others: dict = dataclasses.field(default_factory=dict)  # images shown beside the samples
    nats: dict = dataclasses.field(default_factory=dict)  # by name; "samples" has a list
    looked: float = 0.0  # when somebody last asked for it, by the drawer's clock

    def samples(self):
        """The finished samples, `[num_samples, size, size, channels]` uint8."""
        return np.stack(self.rows, axis=1) if self.matched is None else self.matched

    def shown(self):
        """Everything shown of a finished picture: a dict from a name to a uint8 image."""
        others = dict(self.others)
        original = {"original": others.pop("original")} if "original" in others else {}
        samples = {f"sample {k + 1}": sample for k, sample in enumerate(self.samples())}
        return {"input": self.low_res, **others, **samples, **original}


class Drawer:
    """Draws pictures in the order in which they arrive, once it has been started.

    Args:
        hparams: the model's `prsr.hparams.Hparams`.
        load: function that returns the `PixelRecursiveSuperResolution`, called when it is needed.
        regression: a `RegressionNetwork` of the same sizes, or None.
        clock: function that returns seconds.
    """

    def __init__(self, hparams, load, regression=None, clock=time.monotonic):
        self.hparams, self.clock = hparams, clock
        self._load = load
        self._compare = tf.function(self._compare_networks, autograph=False)
        self._regression = regression and samplers.Sampler(regression)
        self._pictures = collections.OrderedDict()  # by id, in order of arrival
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.ready = False

    @functools.cached_property
    def model(self):
        return self._load()

    @functools.cached_property
    def _sample_rows(self):
        return cached.Sampler(self.model).rows

    def start(self):
        """Starts loading the model and drawing, unless it was done before."""
        with self._changed:
            if self._thread.ident is None:
                # The first picture, which nobody sees, compiles what drawing needs.
                low_size = self.hparams.data.image_size // self.hparams.model.scale
                low_res = np.zeros((low_size, low_size, self.hparams.model.channels), np.uint8)
                picture = Picture(low_res, None, 1, Sampling(match_input=True), 1)
                self._enqueue(picture).looked = float("inf")
                self._thread.start()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(30)  # XLA's compiler cannot be interrupted

    def submit(self, image, num_samples, sampling, seed):
        """Queues the middle square of an image, `[height, width, channels]` uint8, as a `Picture`.

        An image of the low-resolution size is used as it is. Raises ValueError if the image is
        too small, QueueFull if too many pictures are waiting.
        """
        # The user chose this square, so it is not cropped again.
        data = dataclasses.replace(self.hparams.data, crop="center")
        made = preprocessing.preprocess(image, dataclasses.replace(self.hparams, data=data))
        return self._enqueue(Picture(made.low_res, made.high_res, num_samples, sampling, seed))

    def continue_from(self, id, given, sampling, seed):
        """Queues one new sample of a picture's input. Raises PictureGone or QueueFull."""
        picture, _ = self.look(id)
        return self._enqueue(Picture(picture.low_res, picture.high_res, 1, sampling, seed, given))

    def _enqueue(self, picture):
        picture.looked = self.clock()
        with self._changed:
            self._forget()
            if len(self._waiting()) >= MAX_WAITING:
                raise QueueFull(f"{MAX_WAITING} pictures are waiting; try again in a minute")
            self._pictures[picture.id] = picture
            self._changed.notify_all()
        return picture

    def look(self, id):
        """A picture and its place in the queue from 1 (0: not waiting). Raises PictureGone."""
        with self._changed:
            if id not in self._pictures:
                raise PictureGone(id)
            picture = self._pictures[id]
            picture.looked = self.clock()
            waiting = self._waiting()
            return picture, waiting.index(picture) + 1 if picture in waiting else 0

    def inside(self, id, name, tau, guidance):
        """What A, B and A + B predict for each sub-pixel of an image of a finished picture.

        The image is called `name` in `Picture.shown`; the distributions are those of drawing with
        `tau` and `guidance`, both finite. Raises PictureGone.

        Returns:
            Bytes, gzip of three little-endian arrays, one after the other:

            - `[3, size, size, channels, 256]` uint8: the probability of each value under A, B and
              A + B, relative to the likeliest value, which is 255;
            - `[3, size, size, channels]` float32: the negative log-probability of the actual value
              under A, B and A + B, in nats;
            - `[3, size, size]` float32: the nats of each pixel under A + B, the entropy of A + B in
              bits, and how much A decided, 0 (B alone) to 1 (A alone).
        """
        picture, _ = self.look(id)
        if picture.state != "done" or name not in picture.shown().keys() - {"input"}:
            raise PictureGone(id)
        pair = picture.low_res[None], picture.shown()[name][None]
        numbers = tf.constant(tau, tf.float32), tf.constant(guidance, tf.float32)
        compared = self._compare(*pair, *numbers)
        return _pack_inside({key: x[0].numpy() for key, x in compared.items()})

    def _compare_networks(self, low_res, high_res, tau, guidance):
        """`prsr.models.inspection.compare` of the distributions that are drawn from."""
        logits = self.model((low_res, high_res), guidance=guidance)
        drawn = guided(logits.conditioning, guidance), logits.prior, logits.joint
        return inspection.compare(Logits(*(tau * each for each in drawn)), high_res)

    def cancel(self, id):
        """Drops a picture. An unknown id is not an error."""
        with self._changed:
            self._pictures.pop(id, None)

    def _waiting(self):
        return [picture for picture in self._pictures.values() if picture.state == "waiting"]

    def _forget(self):
        """Drops pictures that nobody waits for, and the oldest finished ones."""
        for picture in self._waiting():
            if self._is_abandoned(picture):
                del self._pictures[picture.id]
        done = [p.id for p in self._pictures.values() if p.state in ("done", "failed")]
        for id in done[:-MAX_KEPT]:
            del self._pictures[id]

    def _is_abandoned(self, picture):
        gone = self.clock() - picture.looked > PATIENCE
        return gone or picture.id not in self._pictures or self._stopping

    def _work(self):
        while True:
            with self._changed:
                self._forget()
                waiting = self._waiting()
                if self._stopping:
                    return
                if not waiting:
                    self._changed.wait(1.0)
                    continue
                picture = waiting[0]
                picture.state = "drawing"
            try:
                self._draw(picture)
            except Exception as error:  # the next one may succeed
                print(f"error: a picture could not be drawn: {first_line(error)}", file=sys.stderr)
                picture.state = "failed"
            self.ready = True

    def _draw(self, picture):
        low_res = picture.low_res[None]
        others = {"bicubic": images.upsample_bicubic(picture.low_res, self.hparams.model.scale)}
        if self._regression:
            others["regression"] = self._regression(low_res, np.zeros((1, 2)), Sampling())[0]
        if picture.high_res is not None:
            others["original"] = picture.high_res
        picture.others = {name: np.asarray(image) for name, image in others.items()}
        seeds = noise.image_seeds(picture.low_res, picture.seed, MAX_SAMPLES)
        repeated, given = low_res.repeat(MAX_SAMPLES, 0), picture.given
        if given is not None:
            given = np.broadcast_to(given, (MAX_SAMPLES, *given.shape))
        sampling = picture.sampling
        for row in self._sample_rows(repeated, seeds, sampling.tau, given, sampling.guidance):
            if self._is_abandoned(picture):
                self.cancel(picture.id)
                return
            picture.rows.append(row[: picture.num_samples])
        if sampling.match_input:
            count, method = picture.num_samples, self.hparams.data.downsampling
            given = None if given is None else given[:count]
            matched = projection.match(picture.samples(), repeated[:count], method, given)
            picture.matched = np.asarray(matched)
        pictures = np.concatenate([np.stack([*picture.others.values()]), picture.samples()])
        repeated = low_res.repeat(len(pictures), 0)
        nats = likelihood.nats(self.model, repeated, pictures, len(pictures)).tolist()
        picture.nats = {**dict(zip(picture.others, nats)), "samples": nats[len(others) :]}
        picture.state = "done"


def _pack_inside(compared):
    """What `Drawer.inside` returns, from the arrays of `prsr.models.inspection.compare`."""
    networks = ("conditioning", "prior", "joint")
    logits = np.stack([compared[f"{name}_logits"] for name in networks])
    relative = np.exp(logits - logits.max(axis=-1, keepdims=True))
    nats = np.stack([compared[f"{name}_nats"] for name in networks])
    # A decides a pixel as far as adding it to B changed the distribution, and B likewise.
    by_a, by_b = (compared[f"{name}_moved_bits"].sum(-1) + 1e-6 for name in networks[:2])
    pixels = [nats[2].sum(-1), compared["joint_entropy_bits"].sum(-1), by_a / (by_a + by_b)]
    arrays = np.round(255 * relative).astype(np.uint8), nats.astype("<f4"), np.array(pixels, "<f4")
    return gzip.compress(b"".join(array.tobytes() for array in arrays), 6)
