"""The queue of pictures to super-resolve, and the one thread that draws them, row by row.

One picture is drawn at a time, always as a batch of `MOST_SAMPLES` samples. That costs little
more than one sample, and it is compiled only once.
"""

import collections
import dataclasses
import gzip
import secrets
import sys
import threading
import time

import numpy as np
import tensorflow as tf

from prsr import images
from prsr.data import inputs
from prsr.hparams import Sampling
from prsr.models import likelihood
from prsr.sampling import cached, noise, projection, samplers
from prsr.system.errors import first_line

BEST = Sampling(1.2, 2.0, "end")  # found by experiments/guidance_search.py, on validation images
MOST_SAMPLES = 8
_MOST_WAITING = 20
_MOST_KEPT = 100  # finished pictures, for people still looking at them
_MOST_INSIDE = 16  # cached results of `Drawer.inside`: 0.7 MB each
_MOST_SECONDS = 5.0  # to wait for a turn in `Drawer.inside`
_STEPS_A_NAT = 32
_MOST_STEPS = 64 * _STEPS_A_NAT - 1


class Full(Exception):
    """Too many pictures are waiting or being looked into, so no more are accepted now."""


@dataclasses.dataclass(eq=False)
class Picture:
    """A picture in the queue, being drawn, or finished.

    Attributes:
        low_res: `[low size, low size, channels]` uint8.
        high_res: the original, `[size, size, channels]` uint8, or None.
        num_samples: 1 to `MOST_SAMPLES`.
        sampling: `prsr.hparams.Sampling`.
        seed: int.
        given: `[size, size, channels]` int32 that the samples continue, -1 where to draw; or None.
        id: a random string that nobody can guess.
        state: `"waiting"`, `"drawing"`, `"done"`, or `"failed"`.
        rows: the rows drawn so far, each `[num_samples, size, channels]` uint8.
        matched: the samples after matching, `[num_samples, size, size, channels]` uint8; None
            until then, or if they are not matched.
        others: dict from a name to a uint8 image; the images shown beside the samples.
        nats: dict from a name to nats per image; `"samples"` has a list. Empty until the end.
        looked: when somebody last asked for it, by the drawer's clock.
    """

    low_res: np.ndarray
    high_res: np.ndarray | None
    num_samples: int
    sampling: Sampling
    seed: int
    given: np.ndarray | None = None
    id: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(16))
    state: str = "waiting"
    rows: list = dataclasses.field(default_factory=list)
    matched: np.ndarray | None = None
    others: dict = dataclasses.field(default_factory=dict)
    nats: dict = dataclasses.field(default_factory=dict)
    looked: float = 0.0

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
    """Draws pictures in the order in which they arrive.

    Args:
        hparams: the model's `prsr.hparams.Hparams`.
        model: a `PixelRecursiveSuperResolution`.
        regression: a `RegressionNetwork` of the same sizes, or None.
        patience: seconds after which a picture that nobody asks for is dropped.
        clock: function that returns seconds.
    """

    def __init__(self, hparams, model, regression=None, patience=20.0, clock=time.monotonic):
        # Pictures arrive as the square that the user chose, so no other crop may cut them again.
        self.hparams = dataclasses.replace(
            hparams, data=dataclasses.replace(hparams.data, crop="center")
        )
        self.patience, self.clock = patience, clock
        self._model, self._sample_rows = model, cached.row_sampler(model)
        self._logits = {
            "input": tf.function(lambda low_res, _: model.conditioning(low_res), autograph=False),
            "images": tf.function(lambda _, high_res: model.prior(high_res), autograph=False),
        }
        self._inside = collections.OrderedDict()  # what `inside` returns, by id and name
        self._looking_inside = threading.Lock()
        self._regression = regression and samplers.sampler(regression)
        self._pictures = collections.OrderedDict()  # by id, in order of arrival
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.ready = False

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(30)  # XLA's compiler cannot be interrupted

    def submit(self, image, num_samples, sampling, seed):
        """Puts a picture at the end of the queue.

        Args:
            image: `[height, width, channels]` uint8; its middle square is reduced. An
                image of the low-resolution size is used as it is.
            num_samples: 1 to `MOST_SAMPLES`.
            sampling: `prsr.hparams.Sampling`, matched at the end or not at all.
            seed: int.

        Returns:
            Its `Picture`.

        Raises:
            ValueError: the image is too small.
            Full: too many pictures are waiting.
        """
        made = inputs.preprocess(image, self.hparams)
        return self._wait_for(Picture(made.low_res, made.high_res, num_samples, sampling, seed))

    def go_on(self, id, given, sampling, seed):
        """Queues one new sample of a picture's input, which continues a given image.

        Args:
            id: the picture's id.
            given: as `Picture.given`.
            sampling, seed: as `submit`.

        Returns:
            The new `Picture`.

        Raises:
            KeyError: there is no such picture, or it has been dropped.
            Full: too many pictures are waiting.
        """
        picture, _ = self.look(id)
        return self._wait_for(
            Picture(picture.low_res, picture.high_res, 1, sampling, seed, given=given)
        )

    def _wait_for(self, picture):
        picture.looked = self.clock()
        with self._changed:
            self._forget()
            if len(self._waiting()) >= _MOST_WAITING:
                raise Full(f"{_MOST_WAITING} pictures are waiting already; try again in a minute")
            self._pictures[picture.id] = picture
            self._changed.notify_all()
        return picture

    def look(self, id):
        """A picture and its place in the queue, from 1 (0 when it is not waiting).

        Raises:
            KeyError: there is no such picture, or it has been dropped.
        """
        with self._changed:
            picture = self._pictures[id]
            picture.looked = self.clock()
            waiting = self._waiting()
            return picture, waiting.index(picture) + 1 if picture in waiting else 0

    def inside(self, id, name):
        """What the model predicts for each sub-pixel of a finished picture.

        Args:
            id: the picture's id.
            name: a key of `Picture.shown`: `"input"` for A, any other for B along that image.

        Returns:
            Bytes, gzip of little-endian uint16 `[size, size, channels, 256]`: the negative
            log-probability of each value by that network alone, in 32nds of a nat, at most 64 nats.

        Raises:
            KeyError: there is no such finished picture or name, or it has been dropped.
            Full: too many are looking inside.
        """
        picture, _ = self.look(id)
        if picture.state != "done":
            raise KeyError(id)
        image = picture.shown()[name]
        if not self._looking_inside.acquire(timeout=_MOST_SECONDS):
            raise Full("too many people are looking inside pictures; try again in a moment")
        try:
            if (id, name) not in self._inside:
                self._inside[id, name] = self._look_inside(picture.low_res, name, image)
            self._inside.move_to_end((id, name))
            while len(self._inside) > _MOST_INSIDE:
                self._inside.popitem(last=False)
            return self._inside[id, name]
        finally:
            self._looking_inside.release()

    def _look_inside(self, low_res, name, image):
        logits = self._logits["input" if name == "input" else "images"]
        nats = -tf.nn.log_softmax(tf.cast(logits(low_res[None], image[None]), tf.float32))[
            0
        ].numpy()
        steps = np.minimum(np.round(nats * _STEPS_A_NAT), _MOST_STEPS)
        return gzip.compress(steps.astype("<u2").tobytes(), 6)

    def cancel(self, id):
        """Drops a picture. An unknown id is not an error."""
        with self._changed:
            self._pictures.pop(id, None)

    def _waiting(self):
        return [picture for picture in self._pictures.values() if picture.state == "waiting"]

    def _forget(self):
        """Drops pictures that nobody waits for, and the oldest finished ones."""
        for picture in self._waiting():
            if self._is_left(picture):
                del self._pictures[picture.id]
        done = [p.id for p in self._pictures.values() if p.state in ("done", "failed")]
        for id in done[:-_MOST_KEPT]:
            del self._pictures[id]

    def _is_left(self, picture):
        gone = self.clock() - picture.looked > self.patience
        return gone or picture.id not in self._pictures or self._stopping

    def _work(self):
        self._warm_up()
        self.ready = True
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
            self._try(picture)

    def _warm_up(self):
        """Compiles what `_draw` needs."""
        size, channels = self.hparams.data.image_size, self.hparams.model.channels
        low_res = np.zeros((size // self.hparams.model.scale,) * 2 + (channels,), np.uint8)
        picture = Picture(low_res, None, 1, BEST, 1, state="drawing", looked=float("inf"))
        with self._changed:
            self._pictures[picture.id] = picture
        self._try(picture)
        self.cancel(picture.id)

    def _try(self, picture):
        try:
            self._draw(picture)
        except Exception as error:  # the next one may succeed
            print(f"error: a picture could not be drawn: {first_line(error)}", file=sys.stderr)
            picture.state = "failed"

    def _draw(self, picture):
        low_res = picture.low_res[None]
        others = {"bicubic": images.upsample_bicubic(picture.low_res, self.hparams.model.scale)}
        if self._regression:
            others["regression"] = self._regression(low_res, np.zeros((1, 2)), Sampling())[0]
        if picture.high_res is not None:
            others["original"] = picture.high_res
        picture.others = {name: np.asarray(image) for name, image in others.items()}
        seeds = noise.image_seeds(picture.low_res, picture.seed, MOST_SAMPLES)
        repeated, given = low_res.repeat(MOST_SAMPLES, 0), picture.given
        if given is not None:
            given = np.broadcast_to(given, (MOST_SAMPLES, *given.shape))
        sampling = picture.sampling
        for row in self._sample_rows(repeated, seeds, sampling.tau, given, sampling.guidance):
            if self._is_left(picture):
                self.cancel(picture.id)
                return
            picture.rows.append(row[: picture.num_samples])
        if sampling.match_input == "end":
            count, method = picture.num_samples, self.hparams.data.downsampling
            given = None if given is None else given[:count]
            matched = projection.match(picture.samples(), repeated[:count], method, given)
            picture.matched = np.asarray(matched)
        pictures = np.concatenate([np.stack([*picture.others.values()]), picture.samples()])
        repeated = low_res.repeat(len(pictures), 0)
        nats = likelihood.nats(self._model, repeated, pictures, len(pictures)).tolist()
        picture.nats = {**dict(zip(picture.others, nats)), "samples": nats[len(others) :]}
        picture.state = "done"
