"""What a trained model is given: images of one's own, or of the test split."""

import contextlib
import dataclasses
import json
import pathlib
import sys
import unicodedata

import numpy as np
from PIL import Image

from prsr import files, images, plotting
from prsr.data import decoding, faces, image_sets, listing, pipeline
from prsr.errors import UserError


@dataclasses.dataclass(frozen=True)
class Input:
    """One image to super-resolve.

    Attributes:
        name: for the files that are written; distinct.
        low_res: `[low size, low size, channels]` uint8.
        high_res: `[size, size, channels]` uint8, the original, or None.
    """

    name: str
    low_res: np.ndarray
    high_res: np.ndarray | None


def read_inputs(path, hparams, find_eyes=None):
    """Reads an image, or every image of a folder at any depth.

    An image of the low-resolution size is taken as it is. A larger one is cropped and
    reduced as in training (to the centre, where the run's crop does not fit it), and what
    was done is printed. Unreadable files of a folder are left out, counted and named.

    Args:
        path: file or folder.
        hparams: the `Hparams` of the run.
        find_eyes: what `prsr.data.faces.detector` returned, to align larger images by their
            largest face first; None leaves them as they are.

    Returns:
        A list of `Input`.

    Raises:
        UserError: nothing there can be used.
    """
    if not path:
        raise UserError("expected an image or a folder, and got an empty path")
    path = pathlib.Path(path)
    if path.is_file():
        try:
            image = decoding.decode(path, hparams.model.channels)
            return [_prepared(*_labels([path.name]), image, hparams, find_eyes)]
        except (OSError, ValueError) as error:
            raise UserError(f"'{path}': {error}") from error
    if not path.is_dir():
        raise UserError(f"'{path}': no such file or folder")
    names = listing.find_images(path)
    if not names:
        raise UserError(f"'{path}': no image there ({', '.join(listing.EXTENSIONS)})")
    outputs = _outputs(path, names)
    if outputs:
        some = ", ".join(sorted(outputs)[:3]) + ", ..." * (len(outputs) > 3)
        passed = f"passed over {len(outputs):,} that this program wrote before ({some})"
        if len(outputs) == len(names):
            raise UserError(f"'{path}': {passed}, and there are no others; name a single file")
        print(f"'{path}': {passed}", file=sys.stderr)
        names = [name for name in names if name not in outputs]
    inputs, problems = [], []
    for name, label in zip(names, _labels(names)):
        try:
            image = decoding.decode(path / name, hparams.model.channels)
            inputs.append(_prepared(label, image, hparams, find_eyes))
        except (OSError, ValueError) as error:
            problems.append(f"{name} ({error})")
    if problems:
        print(
            f"skipped {len(problems)} of {len(names)} images: {', '.join(problems)}",
            file=sys.stderr,
        )
    if not inputs:
        raise UserError(f"'{path}': none of the {len(names)} images is usable")
    return inputs


def count(path):
    """How many images `read_inputs` will try, at most; 0 if it cannot use the path."""
    path = pathlib.Path(path)
    return len(listing.find_images(path)) if path.is_dir() else int(path.is_file())


def _outputs(folder, names):
    """Those images of a folder that are samples, grids or curves of this program."""
    found = set()
    for place in {name.rpartition("/")[0] for name in names}:  # as version 0.1 wrote them
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            for entry in json.loads((folder / place / "nats.json").read_text()):
                for k in range(len(entry["nats_per_image"]["samples"])):
                    found.add(f"{place}/{entry['name']}_{k + 1}.png".lstrip("/"))
            found.add(f"{place}/grid.png".lstrip("/"))
    for name in names:
        if name.lower().endswith(".png"):
            with (
                contextlib.suppress(Exception),  # which decoding it will tell of
                Image.open(folder / name, formats=["PNG"]) as image,
            ):
                if image.info.get("Software") == plotting.SOFTWARE:
                    found.add(name)
    return found & set(names)


def _labels(names):
    """A distinct file name without ending for each of some distinct relative paths."""
    labels, taken = [], set()
    for name in names:
        stem = name.rsplit(".", 1)[0] if "." in name.rpartition("/")[2] else name
        stem, number = stem.replace("/", "-"), 1
        label = files.portable(stem)
        while (key := unicodedata.normalize("NFC", label).casefold()) in taken:
            number += 1
            label = files.portable(f"{stem}-{number}")
        taken.add(key)  # some file systems tell neither case nor forms of Unicode apart
        labels.append(label)
    return labels


def read_given(path, hparams):
    """Reads an image whose transparent parts are to be drawn.

    Args:
        path: file of an image of the high-resolution size. What is not wholly opaque is to draw.
        hparams: the model's `Hparams`.

    Returns:
        `[size, size, channels]` int32: -1 where to draw, else 0..255.

    Raises:
        UserError: it is no such image, or the model cannot continue one.
    """
    size, architecture = hparams.data.image_size, hparams.model.architecture
    if architecture != "pixel_recursive":
        raise UserError(
            f"only a pixel_recursive model continues images, and this is a {architecture}; leave "
            f"given out"
        )
    try:
        image, alpha = decoding.decode_with_alpha(path, hparams.model.channels)
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}': {error}") from error
    if alpha.shape != (size, size):
        raise UserError(
            f"'{path}' has {alpha.shape[1]}x{alpha.shape[0]} pixels; an image to continue has the "
            f"model's {size}x{size}"
        )
    if alpha.min() == 255:
        raise UserError(f"'{path}' has no transparent part, and such parts are what is drawn")
    return np.where(alpha[..., None] == 255, image.astype(np.int32), -1)


def eye_finder(hparams):
    """`prsr.data.faces.detector`, for a model that knows faces with CelebA's alignment.

    Raises:
        UserError: it is a model of something else, or mtcnn is not installed.
    """
    if not knows_faces(hparams):
        raise UserError("alignment is for models of faces (crop=celeba, three channels)")
    return faces.detector()


def knows_faces(hparams):
    """Whether a model was trained on faces with CelebA's alignment."""
    return (hparams.data.crop, hparams.model.channels) == ("celeba", 3)


def _prepared(name, image, hparams, find_eyes):
    """`preprocess`, told to the user, as an `Input`."""
    prepared = preprocess(image, hparams, find_eyes)
    print(f"{name}: {', '.join(prepared.steps)}")
    return Input(name, prepared.low_res, prepared.high_res)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """An image as a model is shown it.

    Attributes:
        low_res: `[low size, low size, channels]` uint8.
        high_res: `[size, size, channels]` uint8, the original; None if the image is too small
            to have one.
        steps: what was done, in words.
    """

    low_res: np.ndarray
    high_res: np.ndarray | None
    steps: list


def preprocess(image, hparams, find_eyes=None):
    """Makes the low-resolution image that a model is shown, as training did.

    Args:
        image: `[height, width, channels]` uint8. One of the low-resolution size is taken
            as it is (but for MNIST corners, whose inputs are no reduced pictures).
        hparams: the model's `Hparams`.
        find_eyes: as `read_inputs`.

    Returns:
        `Prepared`.

    Raises:
        ValueError: the image is too small, or no face is in it.
    """
    data, scale = hparams.data, hparams.model.scale
    size, low_size = data.image_size, data.image_size // scale
    height, width = image.shape[:2]
    if (height, width) == (low_size, low_size) and data.pairs == "downsampled":
        return Prepared(image, None, [f"taken as it is, {low_size}x{low_size}"])
    if min(height, width) < (least := min(low_size, image_sets.pool_size(data))):
        raise ValueError(f"{width}x{height} is smaller than {least}x{least}")
    steps = [f"{width}x{height}"]
    if find_eyes:
        count, eyes = find_eyes(image)
        if not count:
            raise ValueError(
                "no face seen from the front; cut it to a square with the eyes halfway down, a "
                "third of its width from either side, and do not align it"
            )
        image = faces.align(image, eyes)
        height, width = image.shape[:2]
        steps.append(
            f"{'the largest face' if count > 1 else 'the face'} aligned in {width}x{height}"
        )
    # A picture of one's own need not have the shape of the data set's.
    kind = data.crop if images.can_crop(height, width, data.crop) else "center"
    square = images.crop(image, kind)
    if square.shape[:2] != (height, width):
        other = "" if kind == data.crop else " (which should be the face alone; alignment finds it)"
        steps.append(f"{kind} crop to {square.shape[1]}x{square.shape[0]}{other}")
    if square.shape[0] < size and data.pairs == "downsampled":
        low_res = np.asarray(images.resize(square, (low_size, low_size)))
        return Prepared(low_res, None, [*steps, f"reduced to {low_size}x{low_size}"])
    low_res, high_res = pipeline.pair(square, data, scale)
    if square.shape[0] != size:
        steps.append(f"reduced to {size}x{size}")
    steps[-1] += " (the original in the grid)"
    return Prepared(low_res, high_res, [*steps, f"reduced to {low_size}x{low_size}"])


def test_inputs(hparams, count):
    """The first images of the run's test split, as a list of `Input`."""
    names, *pairs = pipeline.test_pairs(hparams, count)
    return [Input(label, low, high) for label, low, high in zip(_labels(names), *pairs)]
