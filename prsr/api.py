"""What `prsr.load` returns: a trained model, wherever it is kept, as a few functions of images."""

import numbers
import os
import pathlib
import types
from collections.abc import Callable
from typing import overload

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image

from prsr import plotting
from prsr.data import decoding, inputs
from prsr.errors import UserError
from prsr.hparams import MATCH_INPUT, Hparams, Sampling
from prsr.models import inspection, likelihood
from prsr.sampling import samplers
from prsr.trained import pretrained, saved_model
from prsr.trained.workdir import Workdir

Images = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

_BATCH = 16  # samples at once; changes no image


def load(where: str | os.PathLike[str]) -> "Model":
    """As `prsr.load`, which documents it."""
    path = pathlib.Path(where).expanduser()
    if (path / "settings.json").exists():
        return Model(*_run(Workdir(path)))
    if saved_model.versions(path) or (path / "saved_model.pb").exists():
        return Model(*_export(path))
    if str(where) in pretrained.names():
        return Model(*_run(pretrained.workdir(str(where))))
    raise UserError(
        f"'{where}' is no run directory (settings.json), no export (1/saved_model.pb), and no "
        f"model of this package ({', '.join(pretrained.names())})"
    )


def _run(workdir):
    """`Model`'s arguments, of a run directory."""
    hparams, model = workdir.load_model()
    sampler = samplers.sampler(model, hparams.data.downsampling)
    scored = likelihood.Repeated(model) if model.has_likelihood else None

    def draw(low_res, num_samples, sampling, seed, given):
        return samplers.draw_samples(
            sampler, low_res, num_samples, seed, sampling, _BATCH, given=given
        )

    def log_prob(low_res, high_res):
        if not scored:
            raise ValueError("a regression predicts one image and gives no probability")
        return -likelihood.nats(scored, low_res, high_res, _BATCH)

    def inspect(low_res, high_res, box):
        if hparams.model.architecture != "pixel_recursive":
            raise ValueError(
                f"a {hparams.model.architecture} model has no A and B to look into, "
                f"but a pixel_recursive one has"
            )
        return inspection.inspect(model.inspect, low_res, high_res, box, _BATCH)

    return hparams, draw, log_prob, inspect


def _export(path):
    """`Model`'s arguments, of a SavedModel."""
    hparams, loaded = saved_model.load(path)

    def call(name, **inputs):
        (output,) = loaded.signatures[name](**inputs).values()
        return output.numpy()

    taken = loaded.signatures["sample"].structured_input_signature[1]

    def sampler(low_res, seeds, sampling):
        named = {"tau": tf.constant(sampling.tau, tf.float32)}
        for name, usual in (("guidance", 0.0), ("match_input", "off")):
            value = getattr(sampling, name)
            if name in taken:
                named[name] = tf.constant(value, taken[name].dtype)
            elif value != usual:
                raise ValueError(
                    f"an older version made this export, without {name}; export the model again"
                )
        return call("sample", low_res=tf.constant(low_res), seed=tf.constant(seeds), **named)

    def draw(low_res, num_samples, sampling, seed, given):
        if given is not None:
            raise ValueError("an export cannot continue images; load the run that it was made of")
        which = np.tile(np.arange(1, num_samples + 1), len(low_res))
        seeds = np.stack([np.full_like(which, seed % 2**31), which], axis=1).astype(np.int32)
        drawn = samplers.draw(sampler, low_res.repeat(num_samples, 0), seeds, sampling, _BATCH)
        return drawn.reshape(len(low_res), num_samples, *drawn.shape[1:])

    def log_likelihood(low_res, high_res):
        return call("log_prob", low_res=tf.constant(low_res), high_res=tf.constant(high_res))

    def log_prob(low_res, high_res):
        scored = types.SimpleNamespace(log_likelihood=log_likelihood)
        return -likelihood.nats(scored, low_res, high_res, _BATCH)

    def inspect(low_res, high_res, box):
        if "inspect" not in loaded.signatures:
            raise ValueError("an older version made this export; export the model again")

        def inspect_batch(low_res, high_res):
            return loaded.signatures["inspect"](
                low_res=tf.constant(low_res), high_res=tf.constant(high_res)
            )

        return inspection.inspect(inspect_batch, low_res, high_res, box, _BATCH)

    return hparams, draw, log_prob, inspect


class Model:
    """A trained model. `prsr.load` makes it.

    Images are uint8, 0..255. `low` is the side of a low-resolution image and `high` that of
    a high-resolution one, in pixels; the paper's are 8 and 32.

    Args:
        hparams: its `prsr.hparams.Hparams`.
        draw: function `(low_res, num_samples, sampling, seed, given)` to `[count, num_samples,
            high, high, channels]` uint8, where `sampling` is a `prsr.hparams.Sampling`.
        log_prob, inspect: functions of arrays, as the methods.

    Attributes:
        hparams: as given.
        low_shape: `(low, low, channels)`.
        high_shape: `(high, high, channels)`.
    """

    def __init__(
        self,
        hparams: Hparams,
        draw: Callable[[Images, int, Sampling, int, npt.NDArray[np.integer] | None], Images],
        log_prob: Callable[[Images, Images], npt.NDArray[np.float32]],
        inspect: Callable[[Images, Images, Box | None], dict[str, npt.NDArray[np.float32]]],
    ):
        self.hparams = hparams
        size, channels = hparams.data.image_size, hparams.model.channels
        self.low_shape = (size // hparams.model.scale,) * 2 + (channels,)
        self.high_shape = (size, size, channels)
        self._draw, self._log_prob, self._inspect = draw, log_prob, inspect
        self._find_eyes = None  # loaded when it is first wanted

    @overload
    def sample(
        self,
        image: Images,
        num_samples: int = 1,
        tau: float = 1.1,
        seed: int = 1,
        align: bool = False,
        guidance: float = 0.0,
        match_input: str = "off",
        given: npt.NDArray[np.integer] | None = None,
    ) -> Images: ...

    @overload
    def sample(
        self,
        image: Image.Image,
        num_samples: int = 1,
        tau: float = 1.1,
        seed: int = 1,
        align: bool = False,
        guidance: float = 0.0,
        match_input: str = "off",
        given: npt.NDArray[np.integer] | None = None,
    ) -> list[Image.Image]: ...

    def sample(
        self,
        image,
        num_samples=1,
        tau=1.1,
        seed=1,
        align=False,
        guidance=0.0,
        match_input="off",
        given=None,
    ):
        """Draws samples from p(y | x): the images of `prsr.sample` with these arguments.

        Args:
            image: x. A PIL image or an array `[height, width, channels]`, which is reduced as
                `low_res` does, or several as `[count, low, low, channels]`, taken as they are.
            num_samples: of each image.
            tau: multiplies the logits, the inverse of the usual temperature; infinity is
                greedy.
            seed: sample k depends on it, on k and on x, and on nothing else.
            align: as `low_res`.
            guidance: how much more A counts: logits are tau (B + (1 + guidance) A). 0 is the
                paper's; 2 to 3 follow the input more closely, and samples differ less.
            match_input: `"end"` changes each finished sample as little as possible, so that it
                reduces to x exactly; `"rows"` also moves each row towards x before the next is
                drawn; `"off"` is the paper's.
            given: `[high, high, channels]` integers that each sample continues: 0 to 255 where a
                value stays as it is, -1 where one is to be drawn. What is drawn sees what was
                given before it, in the order of drawing, and nothing below.

        Returns:
            Of a PIL image a list of PIL images; of one array `[num_samples, high, high,
            channels]` and of several `[count, num_samples, high, high, channels]`, uint8.

        Raises:
            ValueError: an argument cannot be used, or there is no face to align.
            UserError: as `low_res`.
        """
        whole = all(isinstance(number, numbers.Integral) for number in (num_samples, seed))
        real = all(isinstance(number, numbers.Real) for number in (tau, guidance))
        if not (whole and num_samples > 0 and real and match_input in MATCH_INPUT):
            raise ValueError(
                f"num_samples must be 1 or more, seed an integer, tau and guidance numbers and "
                f"match_input one of {', '.join(MATCH_INPUT)}, not {num_samples!r}, {seed!r}, "
                f"{tau!r}, {guidance!r} and {match_input!r}"
            )
        sampling = Sampling(float(tau), float(guidance), match_input)
        try:
            samplers.check(sampling, self.hparams)
        except UserError as error:
            raise ValueError(str(error)) from error
        self._check_given(given)
        if isinstance(image, np.ndarray) and image.ndim == 4:
            self._check("image", image, self.low_shape)
            return self._draw(image, num_samples, sampling, seed, given)
        drawn = self._draw(self.low_res(image, align)[None], num_samples, sampling, seed, given)[0]
        return drawn if isinstance(image, np.ndarray) else [plotting.to_pil(x) for x in drawn]

    def low_res(self, image: Images | Image.Image, align: bool = False) -> Images:
        """The image x that the model is shown of a picture, made as in its training.

        Args:
            image: PIL image, or `[height, width, channels]` uint8. It is cropped and reduced;
                one of `low_shape` is returned as it is.
            align: whether to find the largest face first, and turn and cut the image as
                CelebA's were.

        Returns:
            `low_shape` uint8.

        Raises:
            ValueError: it is no such image, too small, or has no face to align.
            UserError: `align`, and the model is not of faces, or mtcnn is not installed.
        """
        if align and self._find_eyes is None:
            self._find_eyes = inputs.eye_finder(self.hparams)
        channels = self.low_shape[-1]
        if isinstance(image, Image.Image):
            image = decoding.from_pil(image, channels)
        elif not isinstance(image, np.ndarray):
            raise ValueError(f"expected a PIL image or a NumPy array, not {type(image).__name__}")
        elif image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels:
            raise ValueError(
                f"expected [height, width, {channels}] uint8, not {list(image.shape)} {image.dtype}"
            )
        return inputs.preprocess(image, self.hparams, self._find_eyes if align else None).low_res

    def log_prob(self, low_res: Images, high_res: Images) -> npt.NDArray[np.float32]:
        """log p(y | x), exactly (equation 5).

        Args:
            low_res: x, `[count, low, low, channels]` uint8.
            high_res: y, `[count, high, high, channels]` uint8.

        Returns:
            `[count]` float32, at most 0, in nats an image.

        Raises:
            ValueError: the arrays are not that, or the model is a regression.
        """
        self._check_pairs(low_res, high_res)
        return self._log_prob(low_res, high_res)

    def inspect(
        self, low_res: Images, high_res: Images, box: Box | None = None
    ) -> dict[str, npt.NDArray[np.float32]]:
        """What A(x) and B(y) say of each sub-pixel, and what their sum makes of it (equation 6).

        One pass of the model. All of an image are 9 MB at 32x32, most of them logits.

        Args:
            low_res: x, `[count, low, low, channels]` uint8.
            high_res: y, `[count, high, high, channels]` uint8: a sample, or any other image.
            box: the pixels to keep, `(left, top, right, bottom)` as in PIL; None for all.

        Returns:
            A dict of float32 arrays `[count, rows, columns, channels]`, logits with 256 more at
            the end. Of each NAME of `conditioning` (A), `prior` (B) and `joint` (A + B):
            `NAME_logits`, normalised to log-probabilities; `NAME_nats`, the negative
            log-probability of the value that is there; `NAME_entropy_bits`. And
            `prior_moved_bits`, how far B moved A (the Kullback-Leibler divergence of A + B from
            A), and `conditioning_moved_bits`, how far A moved B.

        Raises:
            ValueError: the arrays are not that, `box` is not within the image, or the model is
                no pixel_recursive one.
        """
        self._check_pairs(low_res, high_res)
        if box is not None:
            size = self.high_shape[0]
            left, top, right, bottom = box
            if not (0 <= left < right <= size and 0 <= top < bottom <= size):
                raise ValueError(
                    f"box must be (left, top, right, bottom) within {size}x{size} pixels, not {box}"
                )
        return self._inspect(low_res, high_res, box)

    def _check_pairs(self, low_res, high_res):
        self._check("low_res", low_res, self.low_shape)
        self._check("high_res", high_res, self.high_shape)
        if len(low_res) != len(high_res):
            raise ValueError(f"{len(low_res)} low_res for {len(high_res)} high_res")

    def _check_given(self, given):
        if given is None:
            return
        if self.hparams.model.architecture != "pixel_recursive":
            raise ValueError(
                f"a {self.hparams.model.architecture} model draws no sub-pixel from those before "
                f"it, so it has nothing to continue; leave given out"
            )
        samplers.check_given(given, self.high_shape)

    @staticmethod
    def _check(name, images, shape):
        is_array = isinstance(images, np.ndarray)
        if not is_array or images.dtype != np.uint8 or images.shape[1:] != shape or not len(images):
            came = f"{list(images.shape)} {images.dtype}" if is_array else type(images).__name__
            raise ValueError(f"{name} must be {['count', *shape]} uint8, not {came}")
