"""Brings the face of any photograph to where CelebA's aligned images have theirs.

The detector is MTCNN (Zhang et al. 2016), whose package `mtcnn` holds its weights.
"""

import math

import numpy as np
from PIL import Image

from prsr.errors import UserError

# Of aligned CelebA, 178x218: (x, y) of the eyes, left and right in the picture. CelebA
# turned, scaled and shifted its pictures so; MTCNN finds the eyes there within 1.5 pixels.
WIDTH, HEIGHT = 178, 218
EYES = np.array([(69.0, 111.5), (108.0, 112.0)])

_LONGEST = 640  # pixels a side to look for faces in


def detector():
    """Loads the detector.

    Returns:
        A function from an `[height, width, 3]` uint8 image to the number of its faces and
        the `[2, 2]` positions (x, y) of the largest one's eyes, left and right in the
        picture, None if there is no face.

    Raises:
        UserError: the package `mtcnn` is not installed.
    """
    try:
        from mtcnn import MTCNN
    except ModuleNotFoundError as error:
        raise UserError(
            f"--align needs {error.name}: pip install -e '.[faces]' installs it"
        ) from error
    network = MTCNN()

    def find_eyes(image):
        small, factors = _reduced(image, max(1.0, max(image.shape[:2]) / _LONGEST))
        faces = []
        for face in sorted(network.detect_faces(small), key=_area, reverse=True):
            eyes = [face["keypoints"][f"{side}_eye"] for side in ("left", "right")]
            if eyes[0] != eyes[1]:
                faces.append(np.array(eyes) / factors)
        return len(faces), faces[0] if faces else None

    return find_eyes


def align(image, eyes):
    """Turns, scales and cuts an image as CelebA's were, the eyes to `EYES`.

    What lies outside of the image repeats its edge.

    Args:
        image: `[height, width, 3]` uint8.
        eyes: `[2, 2]`, (x, y) of the eyes, left and right in the picture.

    Returns:
        `[218, 178, 3]` uint8.
    """
    # Reduced first, with antialiasing, which a transform does not do.
    reduction = math.dist(*eyes) / math.dist(*EYES)
    image, factors = _reduced(image, max(1.0, reduction))
    # In complex numbers x + iy a similarity is one factor and one shift.
    (s, t), (u, v) = _complex(EYES), _complex(np.asarray(eyes) * factors)
    factor = (v - u) / (t - s)
    shift = u - factor * s
    corners = factor * np.array([0, WIDTH, 1j * HEIGHT, WIDTH + 1j * HEIGHT]) + shift
    height, width = image.shape[:2]
    outside = [-corners.real, corners.real - width, -corners.imag, corners.imag - height]
    pad = max(0, math.ceil(np.max(outside))) + 2  # and what bicubic interpolation looks at
    image = np.pad(image, [(pad, pad), (pad, pad), (0, 0)], mode="edge")
    shift += pad * (1 + 1j)
    coefficients = (factor.real, -factor.imag, shift.real, factor.imag, factor.real, shift.imag)
    turned = Image.fromarray(image).transform(
        (WIDTH, HEIGHT), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
    )
    return np.asarray(turned)


def _area(face):
    return face["box"][2] * face["box"][3]


def _reduced(image, reduction):
    """The image divided by a factor of 1 or more, and what its x and y were multiplied with."""
    height, width = image.shape[:2]
    size = max(1, round(width / reduction)), max(1, round(height / reduction))
    small = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(small), (size[0] / width, size[1] / height)


def _complex(points):
    return points[:, 0] + 1j * points[:, 1]
