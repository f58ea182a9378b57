import keras
import numpy as np
import pytest

from prsr.models import initialization, layers


@pytest.mark.parametrize("masked", [False, True])
def test_initial_weights_follow_table_2(masked):
    """Weights have mean 0 and standard deviation 0.1 before they are truncated at two of them."""
    keras.utils.set_random_seed(0)
    layer = layers.VerticalConv(64, 7) if masked else layers.convolution(64, 7)
    layer.build((None, 8, 8, 64))
    drawn = layer.kernel.numpy()
    assert not layer.bias.numpy().any()
    assert abs(drawn.mean()) < 2e-3 and np.abs(drawn).max() <= 0.2
    assert abs(drawn.std() - 0.1 * 0.8796) < 2e-3  # a normal truncated at two deviations


def test_weights_to_be_loaded_are_zero():
    """Nothing is drawn within the context; afterwards weights are random again."""
    layer = keras.layers.Dense(3, kernel_initializer=initialization.Initializer())
    with initialization.skip_initialization():
        layer.build((None, 2))
    assert not np.any(layer.kernel.numpy())
    assert np.any(np.asarray(initialization.Initializer()((4,))))
