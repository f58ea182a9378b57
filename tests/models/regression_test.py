import numpy as np

from prsr.models.regression import RegressionNetwork


def test_squared_error_by_hand():
    model = RegressionNetwork(channels=1, scale=1, blocks_per_stage=0, width=2)
    grey = np.full((2, 4, 4, 1), 51, np.uint8)  # 0.2
    model(grey)
    model.residual.kernel.assign(np.zeros(model.residual.kernel.shape))
    error = model.scores(grey, np.full((2, 4, 4, 1), 204, np.uint8))["squared_error"]
    np.testing.assert_allclose(error, [16 * 0.6**2] * 2, rtol=1e-5)
