"""Finds faces in photographs and aligns them like CelebA's images.

Positions (x, y) are floats, in pixels from the upper left corner of an image, so the centre of the
first pixel is at (0.5, 0.5). The detector is MTCNN (Zhang et al. 2016); its weights come with the
package `mtcnn`.
"""

import importlib.resources
import math

import numpy as np
from PIL import Image

from prsr.system import progress
from prsr.system.errors import UserError

# The face in an aligned CelebA image, 178x218, as (top, bottom, left, right): the 138-pixel square
# that Tensor2Tensor cuts for the same task. `crop` uses fractions of it.
CELEBA_HEIGHT, CELEBA_WIDTH = 218, 178
CELEBA_BOX = (40, 178, 20, 158)

# The eyes in an aligned image, left and right in the picture: the median of MTCNN's detections in
# CelebA images. Single images deviate from it by 1 to 1.5 pixels.
EYES = np.array([(69.0, 111.5), (108.0, 112.0)])
_TOP, _BOTTOM, _LEFT, _ = CELEBA_BOX
EYES_IN_CROP = (EYES - (_LEFT, _TOP)) / (_BOTTOM - _TOP)  # of the square's side

_LONGEST = 640  # pixels; larger images are reduced to this longest side to detect faces
_NARROWEST = 0.2  # distance between the eyes, relative to the face's width; less is a profile


def detector():
    """Loads the detector.

    Returns:
        A function from an `[height, width, 3]` uint8 image to the number of faces and the `[2, 2]`
        positions of the largest face's eyes, left and right in the picture (None without a face).

    Raises:
        UserError: the package `mtcnn` is not installed, or does not work.
    """
    try:
        from mtcnn import MTCNN
        from mtcnn.stages import StageONet, StagePNet, StageRNet
    except ImportError as error:
        raise UserError(
            f"finding faces needs {error.name or error}: pip install -e '.[faces]', or mtcnn"
        ) from error
    # Pass full paths: given a name alone, mtcnn would first unpickle a file from the user's current
    # folder.
    weights = importlib.resources.files("mtcnn.assets.weights")
    stages = ((StagePNet, "pnet"), (StageRNet, "rnet"), (StageONet, "onet"))
    with progress.silenced():  # Python 3.13 prints a traceback for files that lz4 closes late
        network = MTCNN(
            stages=[stage(weights=str(weights / f"{name}.lz4")) for stage, name in stages]
        )

    def find_eyes(image):
        small, factors = _reduce_face(image, max(1.0, max(image.shape[:2]) / _LONGEST))
        found = []
        # Columns: image, x, y, width, height, confidence, then x and y of five points, eyes first.
        for face in network.detect_faces(small, output_type="numpy"):
            eyes = np.stack([face[6:8], face[11:13]], axis=-1)
            if math.dist(*eyes) > _NARROWEST * face[3]:
                found.append((face[3] * face[4], eyes / factors))
        found.sort(key=lambda face: -face[0])
        return len(found), found[0][1] if found else None

    return find_eyes


def align(image, eyes):
    """Rotates, scales and crops an image like CelebA's, moving the eyes to `EYES`.

    Maps `[height, width, 3]` uint8 and the `[2, 2]` distinct positions of the eyes, left and right
    in the picture, to `[218, 178, 3]` uint8. Areas outside the image repeat its edge.
    """
    # A similarity is one factor and one shift of complex numbers x + iy.
    start, end = _eyes_to_complex(EYES), _eyes_to_complex(np.asarray(eyes))
    factor = (end[1] - end[0]) / (start[1] - start[0])
    shift = end[0] - factor * start[0]
    # The part that will be visible.
    corners = [x + 1j * y for x in (0, CELEBA_WIDTH) for y in (0, CELEBA_HEIGHT)]
    corners = factor * np.array(corners) + shift
    left, top = math.floor(corners.real.min()), math.floor(corners.imag.min())
    right, bottom = math.ceil(corners.real.max()), math.ceil(corners.imag.max())
    part = _crop_face(image, left, top, right, bottom)
    # Reduce first, because a transform does not antialias.
    part, (x, y) = _reduce_face(part, max(1.0, abs(factor)))
    shift -= left + 1j * top
    coefficients = (
        factor.real * x, -factor.imag * x, shift.real * x,
        factor.imag * y, factor.real * y, shift.imag * y,
    )  # fmt: skip
    turned = Image.fromarray(part).transform(
        (CELEBA_WIDTH, CELEBA_HEIGHT),
        Image.Transform.AFFINE,
        coefficients,
        Image.Resampling.BICUBIC,
    )
    return np.asarray(turned)


def _crop_face(image, left, top, right, bottom):
    """Crops an image; the crop may extend past the edge, which is repeated."""
    rows = np.clip(np.arange(top, bottom), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left, right), 0, image.shape[1] - 1)
    return image[rows[:, None], columns]


def _reduce_face(image, reduction):
    """Reduces to `[height / reduction, width / reduction, 3]`; also returns its (x, y) factors."""
    height, width = image.shape[:2]
    size = max(1, round(width / reduction)), max(1, round(height / reduction))
    small = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(small), (size[0] / width, size[1] / height)


def _eyes_to_complex(points):
    return points[:, 0] + 1j * points[:, 1]
