"""Hand-worked numbers, scikit-image, and the 2016 definition of MS-SSIM restated."""

import math

import numpy as np
import pytest

from prsr import images
from prsr.evaluation import metrics


def flat(value, size=32, channels=3):
    return np.full((1, size, size, channels), value, np.uint8)


def photographs(count=3, size=32, seed=0):
    """Smooth images and noisy copies of them, `[count, size, size, 3]` uint8."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, size // 4, size // 4, 3)).astype(np.uint8)
    smooth = np.asarray(images.upsample_bicubic(small, 4))
    noise = rng.normal(0, 25, smooth.shape)
    return smooth, np.clip(smooth + noise, 0, 255).astype(np.uint8)


def test_psnr_by_hand():
    # A difference of 10 everywhere: MSE 100, 10 log10(65025 / 100).
    assert metrics.psnr(flat(20), flat(30)) == pytest.approx([28.1308], abs=1e-4)
    assert metrics.psnr(flat(7), flat(7)) == pytest.approx([math.inf])
    # One sub-pixel of 3072 is off by 255.
    one = flat(0)
    one[0, 3, 4, 1] = 255
    assert metrics.psnr(one, flat(0)) == pytest.approx([10 * math.log10(3072)])


def test_psnr_uint8_wrap_by_hand():
    # 20 - 30 is 246 in uint8, whose square 60516 is 100 modulo 256.
    assert metrics.psnr_uint8_wrap(flat(20), flat(30)) == pytest.approx([28.1308], abs=1e-4)
    # 128 * 128 is 0 modulo 256: infinitely good.
    assert metrics.psnr_uint8_wrap(flat(0), flat(128)) == pytest.approx([math.inf])
    # Noise against other noise: 27.9 dB, where the true pSNR is 7.75.
    rng = np.random.default_rng(0)
    noise, other = rng.integers(0, 256, (2, 20, 32, 32, 3)).astype(np.uint8)
    assert metrics.psnr_uint8_wrap(noise, other).mean() == pytest.approx(27.9, abs=0.1)
    assert metrics.psnr(noise, other).mean() == pytest.approx(7.75, abs=0.1)


def test_ssim_equals_scikit_image_s():
    skimage = pytest.importorskip("skimage.metrics", reason="the extra 'test' brings it")
    original, noisy = photographs()
    options = {"data_range": 255, "channel_axis": -1, "gaussian_weights": True, "sigma": 1.5}
    options["use_sample_covariance"] = False
    found = [skimage.structural_similarity(*pair, **options) for pair in zip(original, noisy)]
    np.testing.assert_allclose(metrics.ssim(noisy, original), found, atol=1e-4)


def ms_ssim_of_2016(one, other):
    """The definition of models/research/compression, in its own terms: scipy, one image."""
    ndimage = pytest.importorskip("scipy.ndimage")
    signal = pytest.importorskip("scipy.signal")
    one, other = one[None].astype(np.float64), other[None].astype(np.float64)
    terms = []
    for _ in range(5):
        size = min(11, *one.shape[1:3])
        sigma = size * 1.5 / 11
        offsets = np.arange(size) - (size - 1) / 2
        window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * sigma**2))
        window = (window / window.sum()).reshape(1, size, size, 1)

        def mean(image, window=window):
            return signal.fftconvolve(image, window, mode="valid")

        a, b = mean(one), mean(other)
        variances = mean(one * one) - a * a + mean(other * other) - b * b
        contrast = (2 * (mean(one * other) - a * b) + 7.65**2) / (variances + 7.65**2)
        luminance = (2 * a * b + 2.55**2) / (a * a + b * b + 2.55**2)
        terms.append((np.mean(luminance * contrast), np.mean(contrast)))
        halve = np.ones((1, 2, 2, 1)) / 4
        one, other = (
            ndimage.convolve(image, halve, mode="reflect")[:, ::2, ::2] for image in (one, other)
        )
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    factors = [t[1] for t in terms[:-1]] + [terms[-1][0]]
    return math.prod(max(f, 0) ** w for f, w in zip(factors, weights))


@pytest.mark.parametrize("size", [32, 48])
def test_ms_ssim_equals_the_definition_of_2016(size):
    original, noisy = photographs(size=size)
    noisy //= 2  # other luminance, too
    expected = [ms_ssim_of_2016(n, t) for n, t in zip(noisy, original)]
    assert 0.3 < min(expected) < 0.99
    np.testing.assert_allclose(metrics.ms_ssim(noisy, original), expected, atol=2e-4)
    assert metrics.ms_ssim(original, original) == pytest.approx([1.0] * 3, abs=1e-5)


def test_consistency_by_hand():
    # A flat 100 stays 100 when reduced: (51 / 255)^2 from an input of 151.
    assert metrics.consistency(flat(100), flat(151, 8)) == pytest.approx([0.04])
    original, _ = photographs()
    every_fourth = original[:, ::4, ::4]
    assert metrics.consistency(original, every_fourth, "tf1_bicubic") == pytest.approx([0.0] * 3)


def test_diversity_by_hand():
    """Samples at 0, 51 and 255 are 0.2, 0.8 and 1 apart; if half of the pixels differ, root 1/2."""
    three = np.concatenate([flat(v, 8) for v in (0, 51, 255)])
    half = three.copy()
    half[:, :4] = 0
    expected = [2 / 3, 2 / 3 * math.sqrt(0.5)]
    assert metrics.diversity(np.stack([three, half])) == pytest.approx(expected)


def test_measure_computes_the_metrics_that_exist_at_a_size():
    original, noisy = photographs(5)
    low_res = np.asarray(images.downsample(original, 4))
    found = metrics.measure(noisy, original, low_res, "antialiased", block=2)
    assert list(found) == ["psnr", "psnr_uint8_wrap", "ssim", "ms_ssim", "consistency"]
    for name, values in found.items():
        other = low_res if name == "consistency" else original
        expected = getattr(metrics, name)(noisy, other)
        np.testing.assert_allclose(values, expected, rtol=1e-5, err_msg=name)
    small = metrics.measure(flat(0, 8), flat(0, 8), flat(0, 2), "antialiased")
    assert list(small) == ["psnr", "psnr_uint8_wrap", "consistency"]
    with pytest.raises(ValueError, match="8x8"):
        metrics.ms_ssim(flat(0, 8), flat(0, 8))
