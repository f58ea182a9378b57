import numpy as np
import pytest
import tensorflow as tf

from prsr.sampling import noise


def logits_of(probabilities):
    logits = np.full(256, -1e9, "float32")
    logits[: len(probabilities)] = np.log(probabilities)
    return logits


def test_inverse_distribution_by_hand():
    """Tau 2 squares probabilities: 1 to 3 becomes 1 to 9, so the first value ends at 0.1."""
    uniforms = np.array([0.01, 0.19, 0.21, 0.69, 0.71, 0.999])
    drawn = noise.draw(np.tile(logits_of([0.2, 0.5, 0.3]), (6, 1)), 1.0, uniforms)
    assert drawn.numpy().tolist() == [0, 0, 1, 1, 2, 2]
    drawn = noise.draw(np.tile(logits_of([0.25, 0.75]), (2, 1)), 2.0, np.array([0.09, 0.11]))
    assert drawn.numpy().tolist() == [0, 1]
    assert int(noise.draw(logits_of([0.2, 0.5, 0.3]), float("inf"), 0.999)) == 1  # greedy


def test_extreme_noise_stays_in_range(monkeypatch):
    """The largest uniform is below one, so a value of probability zero is never drawn."""
    logits = np.zeros((2, 256), "float32")
    assert noise.draw(logits, 1.0, np.array([1e-8, 1 - 2.0**-25])).numpy().tolist() == [0, 255]
    largest = tf.constant([[[2**32 - 1]]], tf.uint32)
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda *_, **__: largest)
    uniforms = noise.uniforms(tf.constant([[0, 0]]), (1, 1, 1))
    assert float(uniforms[0, 0, 0, 0]) < 1
    assert int(noise.draw(logits_of([0.2, 0.5, 0.3]), 1.0, uniforms)[0, 0, 0, 0]) == 2


def test_seeds_belong_to_the_image():
    one, other = np.zeros((2, 8, 8, 3), np.uint8)
    other = other + 1
    seeds = noise.image_seeds(one, 7, 4)
    assert seeds.shape == (4, 2) and seeds.dtype == np.int32 and len(np.unique(seeds[:, 1])) == 4
    np.testing.assert_array_equal(noise.image_seeds(one, 7, 2), seeds[:2])
    assert not np.any(noise.image_seeds(other, 7, 4) == seeds, axis=0)[1]
    assert np.all(noise.image_seeds(one, 8, 4)[:, 0] == 8)


@pytest.mark.parametrize("shape", [(1, 1, 1), (8, 8, 3), (5, 3, 2)])
def test_a_graph_computes_the_same_seeds(shape):
    low_res = np.random.default_rng(1).integers(0, 256, (4, *shape), dtype=np.uint8)
    for seed in (0, 7, 2**31 - 1, -5):
        expected = np.stack([noise.image_seeds(image, seed, 5) for image in low_res])
        for k in range(5):
            seeds = noise.image_seeds_in_graph(low_res, tf.constant([[seed, k + 1]] * 4))
            np.testing.assert_array_equal(seeds, expected[:, k])


def test_draws_follow_the_distribution():
    """Chi-square over 20,000 draws stays below the 0.1% point."""
    probabilities = np.array([0.1, 0.25, 0.05, 0.4, 0.2])
    uniforms = noise.uniforms(np.array([[1, 2]]), (20_000, 1, 1))[0, :, 0, 0]
    drawn = noise.draw(np.tile(logits_of(probabilities), (20_000, 1)), 1.0, uniforms)
    counts = np.bincount(drawn, minlength=5)
    chi_square = np.sum((counts - 20_000 * probabilities) ** 2 / (20_000 * probabilities))
    assert chi_square < 18.5  # 0.1% point with 4 degrees of freedom


def test_noise_belongs_to_the_image():
    seeds = np.array([[1, 0], [1, 1], [2, 0]])
    together = noise.uniforms(seeds, (4, 5, 3)).numpy()
    assert together.min() > 0 and together.max() < 1
    alone = np.concatenate([noise.uniforms(seeds[i : i + 1], (4, 5, 3)) for i in range(3)])
    np.testing.assert_array_equal(together, alone)
    assert len(np.unique(together)) > 170


@pytest.mark.xla
def test_noise_is_the_same_under_xla():
    seeds = tf.constant([[1, 0], [7, 9]])
    compiled = tf.function(lambda s: noise.uniforms(s, (4, 5, 3)), jit_compile=True)
    np.testing.assert_array_equal(compiled(seeds), noise.uniforms(seeds, (4, 5, 3)))
