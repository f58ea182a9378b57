import numpy as np
import pytest

from prsr import images
from prsr.hparams import DOWNSAMPLING
from prsr.sampling import projection


def test_the_matrix_by_hand():
    """From size 2 to 1, four taps of the kernel lie in the image, two on either side."""
    np.testing.assert_allclose(projection.reduction_matrix(2, 2), [[0.5, 0.5]])
    # 4 to 2: the first centre is at 0.5, so pixels are 0.25, 0.25, 0.75 and 1.25 widths away.
    kernel = [0.8671875, 0.8671875, 0.2265625, -0.0703125]
    np.testing.assert_allclose(projection.reduction_matrix(4, 2)[0], np.array(kernel) / sum(kernel))
    np.testing.assert_array_equal(projection.reduction_matrix(4, 2, "tf1_bicubic"), np.eye(4)[::2])


@pytest.mark.parametrize("method", DOWNSAMPLING)
@pytest.mark.parametrize(("size", "scale", "channels"), [(32, 4, 3), (16, 2, 1), (24, 8, 3)])
def test_the_matrix_reduces_as_training_does(method, size, scale, channels):
    rng = np.random.default_rng(0)
    high_res = rng.integers(0, 256, (2, size, size, channels), np.uint8)
    matrix = projection.reduction_matrix(size, scale, method)
    reduced = np.einsum("rh,bhwc,sw->brsc", matrix, high_res, matrix)
    expected = np.asarray(images.downsample(high_res, scale, method), float)
    assert np.abs(np.clip(reduced, 0, 255) - expected).max() <= 0.5 + 1e-3  # which is rounded


def test_matching_by_hand():
    """Two by two pixels are reduced to their mean, so all are moved alike."""
    high_res = np.array([[10, 20], [30, 40]], np.uint8)[None, :, :, None]
    matched = projection.match(high_res, np.full((1, 1, 1, 1), 35))
    np.testing.assert_array_equal(matched[0, :, :, 0], [[20, 30], [40, 50]])
    # Ten more are wanted, one pixel is white already: the others give what it cannot.
    high_res = np.array([[255, 20], [30, 39]], np.uint8)[None, :, :, None]
    matched = np.asarray(projection.match(high_res, np.full((1, 1, 1, 1), 96), rounds=40))
    assert matched[0, 0, 0, 0] == 255 and matched.mean() == pytest.approx(96, abs=0.5)


def test_given_pixels_stay_and_the_others_compensate():
    """Sixty more are needed in all, from three pixels: twenty each."""
    high_res = np.array([[10, 20], [30, 40]], np.uint8)[None, :, :, None]
    given = np.array([[10, -1], [-1, -1]])[None, :, :, None]
    goal = np.full((1, 1, 1, 1), 40)
    matched = np.asarray(projection.match(high_res, goal, given=given, rounds=40))
    np.testing.assert_array_equal(matched[0, :, :, 0], [[10, 40], [50, 60]])
    three = np.asarray(projection.match(high_res, goal, given=given))
    assert three[0, 0, 0, 0] == 10 and abs(three.mean() - 40) < 1


@pytest.mark.parametrize("method", DOWNSAMPLING)
def test_a_matched_image_reduces_to_its_input_and_is_the_nearest(method):
    rng = np.random.default_rng(1)
    truth = rng.integers(90, 160, (3, 32, 32, 3)).astype(np.uint8)
    low_res = np.asarray(images.downsample(truth, 4, method))
    other = np.clip(truth + rng.normal(0, 12, truth.shape), 0, 255).astype(np.uint8)
    matched = np.asarray(projection.match(other, low_res, method))
    off = np.abs(np.asarray(images.downsample(matched, 4, method), int) - low_res.astype(int))
    assert off.max() <= 1 and off.mean() < 0.4
    # Orthogonal to all that reduces to nothing: no matching image is nearer.
    moved, matrix = matched.astype(float) - other, projection.reduction_matrix(32, 4, method)
    unseen = rng.normal(size=truth.shape)
    unseen -= np.einsum(
        "hr,brsc,ws->bhwc",
        np.linalg.pinv(matrix),
        np.einsum("rh,bhwc,sw->brsc", matrix, unseen, matrix),
        np.linalg.pinv(matrix),
    )
    angle = (moved * unseen).sum() / np.sqrt((moved**2).sum() * (unseen**2).sum())
    assert abs(angle) < 0.02
    # What matches already stays.
    np.testing.assert_allclose(projection.match(matched, low_res, method), matched, atol=1)


def test_an_input_that_cannot_be_matched_is_approached():
    """The input has a white spot on black, so the kernel would have to overshoot."""
    low_res = np.zeros((1, 8, 8, 3), np.uint8)
    low_res[:, 4, 4] = 255
    black = np.zeros((1, 32, 32, 3), np.uint8)
    matched = projection.match(black, low_res)
    error = np.square(np.asarray(images.downsample(matched, 4), float) - low_res).mean()
    assert 1 < error < np.square(low_res.astype(float)).mean() / 3
