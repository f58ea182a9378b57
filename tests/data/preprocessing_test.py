import dataclasses

import numpy as np
import pytest
from PIL import Image

from prsr.data import corners, image_sets, pipeline
from prsr.hparams import DataHparams
from prsr.system.errors import UserError

DATA = DataHparams(dataset="drawn:40", image_size=16, pairs="corners", levels=4)


def digits(count=3, size=8):
    return np.random.default_rng(0).integers(1, 256, (count, size, size, 1)).astype(np.uint8)


def test_the_input_has_the_digit_in_the_middle():
    low_res = corners.low_res(digits(), 1, "antialiased").numpy()
    assert low_res.shape == (3, 16, 16, 1)
    np.testing.assert_array_equal(low_res[:, 4:12, 4:12], digits())
    low_res[:, 4:12, 4:12] = 0
    assert not low_res.any()
    assert corners.low_res(digits(), 2, "antialiased").shape == (3, 8, 8, 1)


@pytest.mark.parametrize(("pairs", "row"), [("corners", 0), ("diagonal_corners", 8)])
def test_the_output_has_it_in_one_of_two_corners(pairs, row):
    second = np.array([False, True, True])
    high_res = corners.high_res(digits(), second, pairs).numpy()
    np.testing.assert_array_equal(high_res[0, :8, :8], digits()[0])
    np.testing.assert_array_equal(high_res[1:, row : row + 8, 8:], digits()[1:])
    assert np.count_nonzero(high_res) == np.count_nonzero(digits())


def test_both_corners_are_as_frequent_in_training_and_change_from_epoch_to_epoch():
    image_set = image_sets.load(DATA, 1, "train")
    assert image_set.images.shape[1:] == (8, 8, 1)
    pairs = pipeline.training_pairs(image_set, DATA, 1, 64, seed=1)
    seen = [high.numpy() for _, high in pairs.take(20)]
    right = np.concatenate([high[:, :8, 8:].any(axis=(1, 2, 3)) for high in seen])
    left = np.concatenate([high[:, :8, :8].any(axis=(1, 2, 3)) for high in seen])
    assert np.all(left != right)
    assert abs(right.mean() - 0.5) < 0.05  # of 1,280: 3.6 standard errors


def test_in_evaluation_every_other_is_in_the_second():
    image_set = image_sets.load(DATA, 1, "train")
    low_res, high_res = pipeline.evaluation_arrays(image_set, DATA, 1)
    right = high_res[:, :8, 8:].any(axis=(1, 2, 3))
    assert right.tolist() == [i % 2 == 1 for i in range(len(right))]
    np.testing.assert_array_equal(low_res[:, 4:12, 4:12], image_set.images)


def test_levels():
    values = np.unique(image_sets.load(DATA, 3, "train").images)
    assert set(values) <= {0, 85, 170, 255} and len(values) == 4
    all_of_them = image_sets.load(dataclasses.replace(DATA, levels=256), 3, "train").images
    assert len(np.unique(all_of_them)) > 50


def test_labels_of_drawn_letters_and_their_absence_elsewhere(tmp_path):
    for i in range(3):
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / f"{i}.png")
    folder = dataclasses.replace(DATA, dataset=f"folder:{tmp_path}")
    with pytest.raises(UserError, match="no labels"):
        image_sets.load(folder, 1, "train", with_labels=True)
    labels = image_sets.load(DATA, 3, "train", with_labels=True).labels
    assert labels.dtype == np.int32 and len(np.unique(labels)) > 10 and labels.max() < 29
    assert image_sets.load(DATA, 3, "train").labels is None
