"""Computes the metrics of Table 1: the similarity of two images, and the diversity of samples.

Images are `[batch, height, width, channels]` uint8: `estimate`, `original` and the input `low_res`.
Every metric is one number per image, in a `[batch]` float array; tables show means over the test
set.
"""

import itertools

import numpy as np
import tensorflow as tf

from prsr import images

_MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of Wang et al. 2003
_MS_SSIM_MULTIPLE = 16  # it halves an image four times
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(estimate, original):
    """Peak signal-to-noise ratio: 10 log10(255^2 / MSE), over all sub-pixels of an image.

    It is in dB, and infinite for equal images.
    """
    return _psnr_from(np.square(np.subtract(estimate, original, dtype=np.float64)))


def psnr_uint8_wrap(estimate, original):
    """Computes pSNR with uint8 overflow, which does not measure quality.

    Differences and their squares are taken modulo 256, as in NumPy with uint8 arrays. Any estimate
    of a photograph then scores near 29 dB, and noise 27.9. So does every row of the paper's Table
    1: its pSNR can only be compared with this metric.
    """
    difference = np.asarray(estimate, np.uint8) - np.asarray(original, np.uint8)
    return _psnr_from(difference * difference)


def _psnr_from(squares):
    error = squares.mean(axis=(1, 2, 3), dtype=np.float64)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / error)


def ssim(estimate, original):
    """Structural similarity (Wang et al. 2004), averaged over window positions and channels.

    It uses a Gaussian window of 11x11 with sigma 1.5, only where it fits entirely; K1 = 0.01,
    K2 = 0.03, range 255. This is `tf.image.ssim`. Equal images score 1; an image smaller than the
    window has none.
    """
    return tf.image.ssim(
        tf.convert_to_tensor(estimate), tf.convert_to_tensor(original), max_val=255
    ).numpy()


def ms_ssim(estimate, original):
    """Multi-scale structural similarity (Wang et al. 2003) that works on 32x32 images.

    It is the product over five scales of contrast and structure (at the last scale, SSIM), each
    raised to its weight. Images are halved between scales by 2x2 means. If an image is smaller than
    the 11x11 window, window and sigma shrink to it, as in the code that TensorFlow's authors
    published in 2016 (models/research/compression, `msssim.py`). So 32x32 images are scored at 32,
    16, 8, 4 and 2 with windows of 11, 11, 8, 4 and 2. Negative terms count as zero, as in
    `tf.image.ssim_multiscale`, whose fixed window needs 176x176.

    Raises:
        ValueError: height or width is not a multiple of 16, and cannot be halved four times.
    """
    if any(side % _MS_SSIM_MULTIPLE for side in estimate.shape[1:3]):
        raise ValueError(
            f"MS-SSIM halves an image four times: expected multiples of {_MS_SSIM_MULTIPLE}, "
            f"got {estimate.shape[1]}x{estimate.shape[2]}"
        )
    pair = [tf.cast(image, tf.float32) for image in (estimate, original)]
    result = 1.0
    for scale, weight in enumerate(_MS_SSIM_WEIGHTS):
        if scale > 0:
            pair = [tf.nn.avg_pool2d(image, 2, 2, "VALID") for image in pair]
        luminance, contrast = _ssim_terms(*pair)
        last = scale == len(_MS_SSIM_WEIGHTS) - 1
        term = luminance * contrast if last else contrast
        result *= tf.nn.relu(tf.reduce_mean(term, axis=(1, 2, 3))) ** weight
    return result.numpy()


def _ssim_terms(one, other):
    """Returns luminance, and contrast times structure, at every window position and channel."""
    size = min(_WINDOW, *one.shape[1:3])
    offsets = tf.range(size, dtype=tf.float32) - (size - 1) / 2
    profile = tf.exp(-tf.square(offsets) / (2 * (_SIGMA * size / _WINDOW) ** 2))
    window = profile[:, None] * profile / tf.reduce_sum(profile) ** 2
    kernel = tf.tile(window[:, :, None, None], (1, 1, one.shape[-1], 1))

    def mean(image):
        return tf.nn.depthwise_conv2d(image, kernel, (1, 1, 1, 1), "VALID")

    mean_one, mean_other = mean(one), mean(other)
    variances = mean(one * one + other * other) - mean_one**2 - mean_other**2
    covariance = mean(one * other) - mean_one * mean_other
    luminance = (2 * mean_one * mean_other + _C1) / (mean_one**2 + mean_other**2 + _C1)
    return luminance, (2 * covariance + _C2) / (variances + _C2)


def consistency(estimate, low_res, downsampling="antialiased"):
    """Measures how well an estimate agrees with its input (section 5.2).

    It is the mean squared error on [0, 1] between the input and the downsampled estimate.
    Paper: the text says "L2 distance"; Table 1's caption says MSE.

    `downsampling` is how the input was made, one of `prsr.hparams.DOWNSAMPLING`.
    """
    scale = estimate.shape[1] // low_res.shape[1]
    reduced = np.asarray(images.downsample(estimate, scale, downsampling), np.float64)
    return np.square((reduced - np.asarray(low_res, np.float64)) / 255).mean(axis=(1, 2, 3))


def measure(estimate, original, low_res, downsampling, block=256):
    """Computes every metric that exists for images of this size, `block` images at a time.

    Returns:
        A dict from names of functions in this file to `[count]` float arrays.
    """
    size, parts = estimate.shape[1], []
    for start in range(0, len(estimate), block):
        ours, theirs, low = (a[start : start + block] for a in (estimate, original, low_res))
        part = {"psnr": psnr(ours, theirs), "psnr_uint8_wrap": psnr_uint8_wrap(ours, theirs)}
        if size >= _WINDOW:
            part["ssim"] = ssim(ours, theirs)
        if size % _MS_SSIM_MULTIPLE == 0:
            part["ms_ssim"] = ms_ssim(ours, theirs)
        part["consistency"] = consistency(ours, low, downsampling)
        parts.append(part)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def diversity(samples):
    """The root mean squared difference, on [0, 1], of two samples of one input, over all pairs.

    Args:
        samples: `[batch, count, height, width, channels]` uint8, count at least 2.
    """
    samples = np.asarray(samples, np.float64) / 255
    pairs = itertools.combinations(range(samples.shape[1]), 2)
    distances = [np.square(samples[:, i] - samples[:, j]).mean(axis=(1, 2, 3)) for i, j in pairs]
    return np.sqrt(distances).mean(axis=0)
