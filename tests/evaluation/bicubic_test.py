import numpy as np

from prsr import images
from prsr.evaluation.bicubic import Bicubic

LOW_RES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)


def test_bicubic_is_that_of_images():
    np.testing.assert_array_equal(
        Bicubic(4).predict(LOW_RES), np.asarray(images.upsample_bicubic(LOW_RES, 4))
    )
