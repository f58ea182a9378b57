"""What `fit` is given; `tests/models/scored_test.py` uses it in training."""

import keras
import numpy as np

from prsr.models import PixelIndependent, RMSProp
from prsr.training.callbacks import FreshStatistics


def test_a_model_is_saved_with_the_statistics_of_its_weights(tmp_path):
    random = np.random.default_rng(0)
    low_res = random.integers(0, 256, (8, 4, 4, 3), np.uint8)
    high_res = random.integers(0, 256, (8, 16, 16, 3), np.uint8)
    batches = [low_res[:4], low_res[4:]]
    model = PixelIndependent(blocks_per_stage=1, width=4)
    model.compile(optimizer=RMSProp(), run_eagerly=True)
    saving = keras.callbacks.ModelCheckpoint(tmp_path / "last.keras")
    model.fit(low_res, high_res, epochs=1, verbose=0, callbacks=[FreshStatistics(batches), saving])
    kept = keras.saving.load_model(tmp_path / "last.keras")
    model.recalibrate_batch_norm(batches)
    for a, b in zip(kept.variables, model.variables):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    assert np.any(kept.stages[0][0].first_norm.moving_mean.numpy())
