import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from prsr import images
from prsr.data import image_sets, pipeline
from prsr.hparams import DataHparams
from tests.data.pictures import load

DATA = DataHparams(dataset="drawn:30", image_size=16)


def image_set(count=10, size=8):
    """Image i is filled with i, but for a mark in its upper left corner."""
    fill = np.arange(count, dtype=np.uint8)[:, None, None, None]
    high_res = np.tile(fill, (1, size, size, 3))
    high_res[:, 0, 0] = 200
    return image_sets.ImageSet([str(i) for i in range(count)], high_res)


def batches(count, first_step=0, **options):
    data = dataclasses.replace(DATA, **options)
    pairs = pipeline.training_pairs(image_set(), data, 4, 4, seed=3, first_step=first_step)
    return [high_res.numpy() for _, high_res in pairs.take(count)]


@pytest.mark.parametrize("num_images", [1, 2, 10, 37, 1000])
def test_every_epoch_is_a_permutation(num_images):
    positions = tf.range(3 * num_images, dtype=tf.int64)
    order = pipeline.shuffled(positions, num_images, seed=5).numpy().reshape(3, num_images)
    for epoch in order:
        assert sorted(epoch) == list(range(num_images))
    if num_images >= 37:
        assert not np.array_equal(order[0], order[1])
        other = pipeline.shuffled(positions[:num_images], num_images, seed=6)
        assert not np.array_equal(order[0], other)


def test_the_order_continues_where_it_stopped():
    whole = batches(9, mirror=True)
    np.testing.assert_array_equal(batches(4, first_step=5, mirror=True), whole[5:])


def test_mirroring_mirrors_about_half():
    plain, mirrored = np.concatenate(batches(50)), np.concatenate(batches(50, mirror=True))
    left, right = mirrored[:, 0, 0, 0] == 200, mirrored[:, 0, -1, 0] == 200
    assert np.all(left != right) and 60 < right.sum() < 140
    np.testing.assert_array_equal(mirrored[right], plain[right][:, :, ::-1])


def test_the_pair_is_made_from_the_quantised_image():
    pairs = pipeline.training_pairs(image_set(), DATA, 4, 4, seed=3)
    low_res, high_res = next(iter(pairs))
    assert low_res.dtype == high_res.dtype == tf.uint8
    np.testing.assert_array_equal(low_res, images.downsample(high_res.numpy(), 4))


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 16])
def test_evaluation_scores_each_image_once(batch_size):
    seen = []
    for low_res, high_res, weight in pipeline.evaluation_pairs(image_set(), DATA, 4, batch_size):
        assert len(low_res) == len(high_res) == len(weight) == batch_size
        seen += high_res.numpy()[weight.numpy() == 1][:, 1, 1, 0].tolist()
    assert seen == list(range(10))


def test_the_parts_that_several_machines_read_are_the_batch():
    drawn = load(DataHparams("drawn:200", 8))
    data = DataHparams(image_size=8, mirror=True)

    def pairs(*parts):
        return [
            [batch.numpy() for batch in element]
            for element in pipeline.training_pairs(
                drawn, data, 4, 12, 5, 7, pipeline.Shard(*parts)
            ).take(4 * parts[1])
        ]

    whole, first, second = pairs(0, 1, 1), pairs(0, 1, 3), pairs(1, 2, 3)
    for step in range(4):
        parts = [first[step], *second[2 * step :][:2]]
        for i in range(2):
            together = np.concatenate([part[i] for part in parts])
            np.testing.assert_array_equal(together, whole[step][i])
