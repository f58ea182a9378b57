"""The public API behind `prsr.load`: a trained model as a few methods on images."""

import contextlib
import numbers
import os
import pathlib
from typing import TypedDict, Unpack, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from prsr import images
from prsr.data import decoding, inputs, preprocessing
from prsr.hparams import Sampling
from prsr.models import inspection, likelihood
from prsr.sampling import samplers, saved_model
from prsr.system.errors import UserError
from prsr.workdir import pretrained
from prsr.workdir.directory import Workdir

Images = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

_BATCH = 16  # samples per batch; does not affect the images


def load(where: str | os.PathLike[str]) -> "TrainedModel | ExportedModel":
    """Implements `prsr.load`."""
    path = pathlib.Path(where).expanduser().absolute()
    if (path / "settings.json").exists():
        return TrainedModel(path)
    if saved_model.versions(path) or (path / "saved_model.pb").exists():
        return ExportedModel(path)
    if str(where) in pretrained.names():
        return TrainedModel(str(where))
    raise UserError(
        f"'{where}' is not a run directory (with settings.json), an export (with "
        f"1/saved_model.pb), or a bundled model ({', '.join(pretrained.names())})"
    )


class _Options(TypedDict, total=False):
    tau: float | None
    seed: int
    align: bool
    guidance: float | None
    match_input: bool | None
    given: npt.NDArray[np.integer] | None
    as_in_the_paper: bool


class _Model:
    """What all loaded models can do.

    Images are uint8, 0..255. `low` and `high` are the sides of low- and high-resolution images in
    pixels; the paper's are 8 and 32. Pickling keeps only where the model was loaded from.

    Attributes:
        hparams: the model's `prsr.hparams.Hparams`.
        low_shape: `(low, low, channels)`.
        high_shape: `(high, high, channels)`.
    """

    def __init__(self, where, hparams, network, scored):
        self._where, self.hparams = where, hparams
        self._network = network  # has `inspect` (the paper's model only)
        self._scored = scored  # has `log_likelihood`; None for a regression
        size, channels = hparams.data.image_size, hparams.model.channels
        self.low_shape = (size // hparams.model.scale,) * 2 + (channels,)
        self.high_shape = (size, size, channels)
        self._find_eyes = None  # loaded at first use

    def __reduce__(self):
        return load, (self._where,)

    def _draw(self, low_res, num_samples, sampling, seed, given):
        """Returns samples of checked inputs, `[count, num_samples, high, high, channels]` uint8."""
        raise NotImplementedError

    @overload
    def sample(
        self, image: Images, num_samples: int = 1, **options: Unpack["_Options"]
    ) -> Images: ...

    @overload
    def sample(
        self, image: Image.Image, num_samples: int = 1, **options: Unpack["_Options"]
    ) -> list[Image.Image]: ...

    def sample(
        self,
        image,
        num_samples=1,
        *,
        tau=None,
        seed=1,
        align=False,
        guidance=None,
        match_input=None,
        given=None,
        as_in_the_paper=False,
    ):
        """Draws samples from p(y | x), the same images as `prsr.sample` with these settings.

        Args:
            image: x, as a PIL image or an array `[height, width, channels]`, which `low_res`
                prepares; or several inputs `[count, low, low, channels]`, used as they are.
            num_samples: number of samples per image.
            tau: multiplies the logits (the inverse of the usual temperature); infinity is greedy.
            seed: sample k depends only on the seed, k and x.
            align: as for `low_res`.
            guidance: extra weight of A; the logits are tau (B + (1 + guidance) A). 0 is the
                paper's; 2 to 3 follow the input more closely, with less varied samples.
            match_input: whether to change each finished sample as little as possible so that it
                downsamples to x exactly. Not in the paper.
            given: `[high, high, channels]` integers for each sample to complete: values to keep,
                0..255, and -1 where to draw. Drawn values depend only on given values that come
                earlier in the drawing order, never on those below.
            as_in_the_paper: tau, guidance and match_input are by default (None) those of
                `hparams.sampling`: what a bundled model recommends, or the paper's (1.1, 0, False).
                True: the paper's.

        Returns:
            For a PIL image, a list of PIL images; for one array, `[num_samples, high, high,
            channels]` uint8; for several, `[count, num_samples, high, high, channels]` uint8.

        Raises:
            ValueError: an argument is invalid, or there is no face to align.
            UserError: as for `low_res`.
        """
        wanted = {"tau": tau, "guidance": guidance, "match_input": match_input}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        default = Sampling() if as_in_the_paper else self.hparams.sampling
        tau, guidance, match_input = (vars(default) | wanted).values()
        whole = all(isinstance(number, numbers.Integral) for number in (num_samples, seed))
        real = all(isinstance(number, numbers.Real) for number in (tau, guidance))
        if not (whole and num_samples > 0 and real and isinstance(match_input, bool)):
            raise ValueError(
                f"num_samples must be 1 or more, seed an integer, tau and guidance numbers and "
                f"match_input True or False; got num_samples={num_samples!r}, seed={seed!r}, "
                f"tau={tau!r}, guidance={guidance!r}, match_input={match_input!r}"
            )
        sampling = Sampling(float(tau), float(guidance), match_input)
        with _value_errors():
            samplers.check(sampling, self.hparams)
            if given is not None:
                self.hparams.model.require_prior("complete images")
        if isinstance(image, np.ndarray) and image.ndim == 4:
            self._check("image", image, self.low_shape)
            return self._draw(image, num_samples, sampling, seed, given)
        (drawn,) = self._draw(self.low_res(image, align)[None], num_samples, sampling, seed, given)
        return drawn if isinstance(image, np.ndarray) else [images.to_pil(x) for x in drawn]

    def low_res(self, image: Images | Image.Image, align: bool = False) -> Images:
        """Makes the model's input x from a picture, as in training.

        Args:
            image: PIL image, or `[height, width, channels]` uint8. It is cropped and reduced; an
                image of `low_shape` is returned unchanged.
            align: whether to first find the largest face, and rotate and crop the image like
                CelebA's.

        Returns:
            `low_shape` uint8.

        Raises:
            ValueError: the image is invalid or too small, or has no face to align.
            UserError: `align` is set, but the model was not trained on aligned faces, or mtcnn is
                not installed.
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
        find_eyes = self._find_eyes if align else None
        return preprocessing.preprocess(image, self.hparams, find_eyes).low_res

    def log_prob(self, low_res: Images, high_res: Images) -> npt.NDArray[np.float32]:
        """Returns the exact log p(y | x) (equation 5).

        Args:
            low_res: x, `[count, low, low, channels]` uint8.
            high_res: y, `[count, high, high, channels]` uint8.

        Returns:
            `[count]` float32, at most 0, in nats per image.

        Raises:
            ValueError: an array is invalid, or the model is a regression.
        """
        self._check_pairs(low_res, high_res)
        if not self._scored:
            raise ValueError("a regression model predicts one image and has no probabilities")
        return -likelihood.nats(self._scored, low_res, high_res, _BATCH)

    def inspect(
        self, low_res: Images, high_res: Images, box: Box | None = None
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Compares the distributions of A(x), B(y) and their sum for each sub-pixel (equation 6).

        This takes one pass of the model. At 32x32, the result takes 9 MB per image, mostly logits.

        Args:
            low_res: x, `[count, low, low, channels]` uint8.
            high_res: y, `[count, high, high, channels]` uint8: a sample, or any other image.
            box: the pixels to keep, `(left, top, right, bottom)` as in PIL; None for all.

        Returns:
            The dict that `prsr.models.inspection.compare` describes, as float32 arrays
            `[count, rows, columns, channels]`, with a last axis of 256 for logits.

        Raises:
            ValueError: an array is invalid, `box` is not within the image, or the model is not
                pixel_recursive.
        """
        self._check_pairs(low_res, high_res)
        with _value_errors():
            self.hparams.model.require_prior("be inspected")
        if box is not None:
            size = self.high_shape[0]
            left, top, right, bottom = box
            if not (0 <= left < right <= size and 0 <= top < bottom <= size):
                raise ValueError(
                    f"box must be (left, top, right, bottom) within {size}x{size} pixels, not {box}"
                )
        return inspection.inspect(self._network.inspect, low_res, high_res, box, _BATCH)

    def _check_pairs(self, low_res, high_res):
        self._check("low_res", low_res, self.low_shape)
        self._check("high_res", high_res, self.high_shape)
        if len(low_res) != len(high_res):
            raise ValueError(
                f"expected as many low_res as high_res images; got {len(low_res)} low_res for "
                f"{len(high_res)} high_res"
            )

    @staticmethod
    def _check(name, images, shape):
        is_array = isinstance(images, np.ndarray)
        if not is_array or images.dtype != np.uint8 or images.shape[1:] != shape or not len(images):
            got = f"{list(images.shape)} {images.dtype}" if is_array else type(images).__name__
            raise ValueError(f"{name} must be {['count', *shape]} uint8, not {got}")


@contextlib.contextmanager
def _value_errors():
    """Turns a `UserError` about an argument into a `ValueError`."""
    try:
        yield
    except UserError as error:
        raise ValueError(str(error)) from error


class TrainedModel(_Model):
    """A trained model of this package: a run directory's path, or a bundled model's name."""

    def __init__(self, where: str | pathlib.Path):
        workdir = pretrained.workdir(where) if isinstance(where, str) else Workdir(where)
        hparams, network = workdir.load_model()
        scored = likelihood.Repeated(network) if network.has_likelihood else None
        super().__init__(where, hparams, network, scored)
        self._sampler = samplers.Sampler(network, hparams.data.downsampling)

    def _draw(self, low_res, num_samples, sampling, seed, given):
        return samplers.draw_samples(
            self._sampler, low_res, num_samples, seed, sampling, _BATCH, given=given
        )


class ExportedModel(_Model):
    """A model that `prsr.export` wrote: the newest version in a folder, or one version."""

    def __init__(self, path: pathlib.Path):
        export = saved_model.Export(path)
        super().__init__(export.folder, export.hparams, export, export)

    def _draw(self, low_res, num_samples, sampling, seed, given):
        which = np.tile(np.arange(1, num_samples + 1), len(low_res))
        seeds = np.stack([np.full_like(which, seed % 2**31), which], axis=1).astype(np.int32)
        repeated = low_res.repeat(num_samples, 0)
        drawn = samplers.stream(
            self._network.sample, repeated, seeds, sampling, _BATCH, given=given
        )
        return np.stack(list(drawn)).reshape(len(low_res), num_samples, *self.high_shape)
