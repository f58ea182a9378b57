"""The pixel-independent baseline."""

import numpy as np

from prsr.models import likelihood
from prsr.models.pixel_independent import PixelIndependent


def test_likelihood_is_the_product_over_sub_pixels():
    """With one distribution everywhere, log p(y | x) is 192 times that of a sub-pixel."""
    low_res = np.zeros((5, 4, 4, 3), np.uint8)
    model = PixelIndependent(scale=2, blocks_per_stage=1, width=4)
    model(low_res)
    bias = np.full((3, 256), -1e4, np.float32)
    bias[:, [10, 30, 250]] = np.log([0.5, 0.3, 0.2])
    model.logits.kernel.assign(np.zeros(model.logits.kernel.shape))
    model.logits.bias.assign(bias.ravel())
    nats = likelihood.nats(model, low_res, np.full((5, 8, 8, 3), 30, np.uint8), batch_size=2)
    np.testing.assert_allclose(nats, -192 * np.log(0.3), rtol=1e-5)
