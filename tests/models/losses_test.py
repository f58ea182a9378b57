"""Cross-entropies by hand, in the units of the paper."""

import numpy as np
import tensorflow as tf

from prsr.models import losses


def test_bfloat16_logits_are_summed_in_float32():
    logits = tf.zeros((1, 32, 32, 3, 256), tf.bfloat16)
    nats = losses.nats_per_image(logits, np.zeros((1, 32, 32, 3)))
    np.testing.assert_allclose(nats, [3072 * np.log(256)], rtol=1e-5)
    np.testing.assert_allclose(losses.bits_per_dim(nats, (32, 32, 3)), [8], rtol=1e-5)
