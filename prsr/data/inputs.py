"""Reads and prepares a model's inputs: the user's own images, or those of the test split."""

import contextlib
import dataclasses
import json
import pathlib
import sys
import unicodedata

import numpy as np
from PIL import Image

from prsr import images
from prsr.data import decoding, faces, image_sets, listing, pipeline
from prsr.system import files
from prsr.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Input:
    """One image to super-resolve.

    Attributes:
        name: distinct name for output files.
        low_res: `[low size, low size, channels]` uint8.
        high_res: `[size, size, channels]` uint8, the original, or None.
    """

    name: str
    low_res: np.ndarray
    high_res: np.ndarray | None


def read_inputs(path, hparams, find_eyes=None):
    """Reads an image, or every image in a folder, at any depth.

    An image of the low-resolution size is used as is. A larger one is cropped and reduced as in
    training (cropped to the centre if the run's crop does not fit), and the steps are printed.
    Unreadable files in a folder are skipped, counted and named.

    Args:
        path: file or folder.
        hparams: the `Hparams` of the run.
        find_eyes: as `prsr.data.faces.detector` returns it, to align larger images by their largest
            face first; None does not align.

    Returns:
        A list of `Input`.

    Raises:
        UserError: there is no usable image.
    """
    if not path:
        raise UserError("expected an image or a folder; got an empty path")
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
        raise UserError(f"'{path}' contains no images ({', '.join(listing.EXTENSIONS)})")
    outputs = _outputs(path, names)
    if outputs:
        some = ", ".join(sorted(outputs)[:3]) + ", ..." * (len(outputs) > 3)
        passed = f"skipped {len(outputs):,} images that this program wrote earlier ({some})"
        if len(outputs) == len(names):
            raise UserError(f"'{path}': {passed}; there are no others. Give a single file instead")
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
    """Returns how many images `read_inputs` will try at most; 0 if the path is unusable."""
    path = pathlib.Path(path)
    return len(listing.find_images(path)) if path.is_dir() else int(path.is_file())


def _outputs(folder, names):
    """Returns the images of a folder that are samples, grids or curves of this program."""
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
                contextlib.suppress(Exception),  # decoding will report it
                Image.open(folder / name, formats=["PNG"]) as image,
            ):
                if image.info.get("Software") == images.SOFTWARE:
                    found.add(name)
    return found & set(names)


def _labels(names):
    """Returns a distinct file name without extension for each of some distinct relative paths."""
    labels, taken = [], set()
    for name in names:
        stem = name.rsplit(".", 1)[0] if "." in name.rpartition("/")[2] else name
        stem, number = stem.replace("/", "-"), 1
        label = files.portable(stem)
        while (key := unicodedata.normalize("NFC", label).casefold()) in taken:
            number += 1
            label = files.portable(f"{stem}-{number}")
        taken.add(key)  # some file systems ignore case and Unicode normalisation
        labels.append(label)
    return labels


def read_given(path, hparams):
    """Reads an image whose transparent parts the model should draw.

    Args:
        path: image file of the high-resolution size. Every pixel that is not opaque is drawn.
        hparams: the model's `Hparams`.

    Returns:
        `[size, size, channels]` int32: -1 where to draw, else 0..255.

    Raises:
        UserError: it is not such an image, or the model cannot complete one.
    """
    size, architecture = hparams.data.image_size, hparams.model.architecture
    if architecture != "pixel_recursive":
        raise UserError(
            f"only a pixel_recursive model can complete images, not {architecture}; leave given out"
        )
    try:
        image, alpha = decoding.decode_with_alpha(path, hparams.model.channels)
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}': {error}") from error
    if alpha.shape != (size, size):
        raise UserError(
            f"'{path}' has {alpha.shape[1]}x{alpha.shape[0]} pixels; an image to complete must "
            f"have the model's {size}x{size}"
        )
    if alpha.min() == 255:
        raise UserError(f"'{path}' has no transparent part; make the parts to draw transparent")
    return np.where(alpha[..., None] == 255, image.astype(np.int32), -1)


def eye_finder(hparams):
    """Returns `prsr.data.faces.detector()` if the model was trained on aligned faces.

    Raises:
        UserError: the model was trained on something else, or mtcnn is not installed.
    """
    if not knows_faces(hparams):
        raise UserError("alignment is for models of faces (crop=celeba, three channels)")
    return faces.detector()


def knows_faces(hparams):
    """Whether a model was trained on faces with CelebA's alignment."""
    return (hparams.data.crop, hparams.model.channels) == ("celeba", 3)


def _prepared(name, image, hparams, find_eyes):
    """Calls `preprocess`, prints its steps, and returns an `Input`."""
    prepared = preprocess(image, hparams, find_eyes)
    print(f"{name}: {', '.join(prepared.steps)}")
    return Input(name, prepared.low_res, prepared.high_res)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """An image prepared as a model's input.

    Attributes:
        low_res: `[low size, low size, channels]` uint8.
        high_res: `[size, size, channels]` uint8, the original; None if the image is too small.
        steps: descriptions of what was done.
    """

    low_res: np.ndarray
    high_res: np.ndarray | None
    steps: list


def preprocess(image, hparams, find_eyes=None):
    """Makes a model's low-resolution input as in training.

    Args:
        image: `[height, width, channels]` uint8. One of the low-resolution size is used as is
            (except for MNIST corners, whose inputs are not downsampled images).
        hparams: the model's `Hparams`.
        find_eyes: as for `read_inputs`.

    Returns:
        `Prepared`.

    Raises:
        ValueError: the image is too small, or has no face.
    """
    data, scale = hparams.data, hparams.model.scale
    size, low_size = data.image_size, data.image_size // scale
    height, width = image.shape[:2]
    if (height, width) == (low_size, low_size) and data.pairs == "downsampled":
        kept = "used as is, not aligned" if find_eyes else "used as is"
        return Prepared(image, None, [f"{kept}, {low_size}x{low_size}"])
    if min(height, width) < (least := min(low_size, image_sets.pool_size(data))):
        raise ValueError(f"{width}x{height} is smaller than {least}x{least}")
    steps = [f"{width}x{height}"]
    if find_eyes:
        count, eyes = find_eyes(image)
        if not count:
            raise ValueError(
                "no frontal face found; if there is one, crop a square yourself (the eyes halfway "
                "down, at a third and two thirds of the width) and do not align it"
            )
        image = faces.align(image, eyes)
        height, width = image.shape[:2]
        steps.append(
            f"{'the largest face' if count > 1 else 'the face'} aligned in {width}x{height}"
        )
    # The user's picture need not have the shape of the data set's images.
    kind = data.crop if images.can_crop(height, width, data.crop) else "center"
    square = images.crop(image, kind)
    if square.shape[:2] != (height, width):
        other = "" if kind == data.crop else " (should show only the face; alignment finds it)"
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
    """Returns the first images of the run's test split as a list of `Input`."""
    names, *pairs = pipeline.test_pairs(hparams, count)
    return [Input(label, low, high) for label, low, high in zip(_labels(names), *pairs)]
