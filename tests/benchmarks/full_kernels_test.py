"""The yardstick with full kernels is the same function."""

import keras
import numpy as np

from benchmarks import full_kernels, sampling
from prsr.hparams import DataHparams, Hparams, ModelHparams, TrainingHparams

HPARAMS = Hparams(
    model=ModelHparams(
        blocks_per_stage=1, conditioning_width=4, prior_width=7, prior_layers=2, prior_hidden=8
    ),
    data=DataHparams(image_size=8),
    training=TrainingHparams(global_batch_size=4),
)


def cropped(full, layer):
    """The taps of a full kernel that a cropped layer keeps."""
    height, width = layer.kernel.shape[:2]
    top = full.first_row
    return full.kernel.numpy()[top : top + height, :width]


def test_full_kernels_times_masks_are_the_same_function():
    with full_kernels.in_place():
        full = sampling.build(HPARAMS)
    ours = sampling.build(HPARAMS)
    assert full.count_params() > ours.count_params()
    rng = np.random.default_rng(0)
    for theirs, layer in zip(
        full.prior._flatten_layers(include_self=False), ours.prior._flatten_layers(False)
    ):
        if isinstance(theirs, full_kernels.VerticalConv | full_kernels.HorizontalConv):
            layer.kernel.assign(cropped(theirs, layer))
        elif isinstance(layer, keras.layers.Dense):
            layer.kernel.assign(theirs.kernel)
    high_res = rng.integers(0, 256, (2, 8, 8, 3))
    np.testing.assert_allclose(full.prior(high_res), ours.prior(high_res), atol=1e-4)
