"""Reads and prepares a model's inputs: the user's images, or those of the test split."""

import contextlib
import dataclasses
import pathlib
import sys
import unicodedata

import numpy as np
from PIL import Image

from prsr import images
from prsr.data import decoding, faces, image_sets, listing, pipeline
from prsr.data.preprocessing import Input, preprocess
from prsr.system import files
from prsr.system.errors import UserError


def read_inputs(path, hparams, find_eyes=None):
    """Reads an image, or every image in a folder, at any depth.

    An image of the low-resolution size is used as is. A larger one is cropped and reduced as in
    training (cropped to the centre if the run's crop does not fit), and the steps are printed.
    Unreadable files in a folder are skipped, counted and named.

    Args:
        path: file or folder.
        hparams: the `Hparams` of the run.
        find_eyes: as for `prsr.data.preprocessing.preprocess`.

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
            return [_read_input(path, *_input_names([path.name]), hparams, find_eyes)]
        except (OSError, ValueError) as error:
            raise UserError(f"'{path}': {error}") from error
    if not path.is_dir():
        raise UserError(f"'{path}': no such file or folder")
    names = listing.find_images(path)
    if not names:
        raise UserError(f"'{path}' contains no images ({', '.join(listing.EXTENSIONS)})")
    outputs = [name for name in names if _is_output(path / name)]
    if outputs:
        some = ", ".join(outputs[:3]) + ", ..." * (len(outputs) > 3)
        skipped = f"skipped {len(outputs):,} images that this program wrote earlier ({some})"
        if len(outputs) == len(names):
            raise UserError(f"'{path}': {skipped}; there are no others. Give a single file instead")
        print(f"'{path}': {skipped}", file=sys.stderr)
        names = sorted(set(names) - set(outputs))
    inputs, problems = [], {}
    for name, label in zip(names, _input_names(names)):
        try:
            inputs.append(_read_input(path / name, label, hparams, find_eyes))
        except (OSError, ValueError) as error:
            problems[name] = error
    image_sets.report_skipped(problems, len(names), "images")
    if not inputs:
        raise UserError(f"'{path}': none of the {len(names)} images is usable")
    return inputs


def _read_input(path, label, hparams, find_eyes):
    image = decoding.decode(path, hparams.model.channels)
    found = preprocess(image, hparams, find_eyes)
    print(f"{label}: {', '.join(found.steps)}")
    return dataclasses.replace(found, name=label)


def count(path):
    """Returns how many images `read_inputs` will try at most; 0 if the path is unusable."""
    path = pathlib.Path(path)
    return len(listing.find_images(path)) if path.is_dir() else int(path.is_file())


def _is_output(path):
    """Whether an image was written by this program."""
    with contextlib.suppress(Exception):  # decoding will report it
        if path.suffix.lower() == ".png":
            with Image.open(path, formats=["PNG"]) as image:
                return image.info.get("Software") == images.SOFTWARE
    return False


def _input_names(names):
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
    size = hparams.data.image_size
    hparams.model.require_prior("complete images")
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
    """Returns `prsr.data.faces.detector()`; raises `UserError` if faces were not trained on."""
    if not knows_faces(hparams):
        raise UserError("alignment is for models of faces (crop=celeba, three channels)")
    return faces.detector()


def knows_faces(hparams):
    """Whether a model was trained on faces with CelebA's alignment."""
    return (hparams.data.crop, hparams.model.channels) == ("celeba", 3)


def test_inputs(source, hparams, count):
    """Returns the first `count` images of a source's test split as a list of `Input`."""
    names, *pairs = pipeline.test_pairs(source, hparams, count)
    return [Input(label, low, high) for label, low, high in zip(_input_names(names), *pairs)]
