import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from prsr import images
from prsr.data import image_sets, letters, pipeline
from prsr.errors import UserError
from prsr.hparams import DataHparams

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


def test_an_epoch_shows_every_image_once():
    shown = np.concatenate(batches(5))[:, 1, 1, 0]
    assert sorted(shown.tolist()) == sorted([*range(10), *range(10)])
    assert sorted(shown[:10].tolist()) == list(range(10))


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


def test_drawn_images_are_always_the_same():
    first, again = (image_sets.load(DATA, 3, "validation") for _ in range(2))
    np.testing.assert_array_equal(first.images, again.images)
    assert first.images.shape[1:] == (16, 16, 3)
    assert first.images.std() > 20
    assert letters.draw(0).tobytes() != letters.draw(1).tobytes()


def folder_of(tmp_path, sizes):
    for i, size in enumerate(sizes):
        name = tmp_path / ("train" if i else "val") / f"{i}.png"
        name.parent.mkdir(exist_ok=True)
        Image.new("RGB", size, (10 * i, 0, 0)).save(name)
    return dataclasses.replace(DATA, dataset=f"folder:{tmp_path}")


def test_mixed_sizes(tmp_path):
    data = folder_of(tmp_path, [(16, 16), (20, 40), (64, 17)])
    assert image_sets.load(data, 3, "train").images[:, 0, 0, 0].tolist() == [10, 20]


def test_bad_images_among_good_ones(tmp_path, capsys):
    data = folder_of(tmp_path, [(16, 16), (20, 40), (64, 17), (64, 15), (32, 32)])
    (tmp_path / "train" / "4.png").write_bytes((tmp_path / "train" / "4.png").read_bytes()[:40])
    (tmp_path / "train" / "5.jpg").write_bytes(b"no image")
    result = image_sets.load(data, 3, "train")
    assert result.names == ["train/1.png", "train/2.png"]
    assert result.images[:, 0, 0, 0].tolist() == [10, 20]
    message = capsys.readouterr().err
    assert "skipped 3 of 5 train images" in message
    for word in ("train/3.png (smaller than 16x16)", "train/4.png", "train/5.jpg"):
        assert word in message


def test_no_usable_image(tmp_path):
    data = folder_of(tmp_path, [(16, 16), (5, 5), (6, 6)])
    with pytest.raises(UserError, match="none of the 2 train images is usable"):
        image_sets.load(data, 3, "train")


def test_images_that_do_not_fit_the_crop(tmp_path):
    data = dataclasses.replace(folder_of(tmp_path, [(16, 16), (50, 50)]), crop="celeba")
    with pytest.raises(UserError, match="178x218.*50x50"):
        image_sets.load(data, 3, "train")


def test_a_limit_reads_only_the_first(tmp_path):
    assert len(image_sets.load(DATA, 3, "train", limit=4).names) == 4


def test_ctrl_c_that_is_met_within_tensorflow():
    """It is Ctrl-C still, and no image that cannot be read."""

    def interrupted():
        raise KeyboardInterrupt

    class Source:
        def names(self, split):
            return ["a"] * 3

        def arrays(self, split, start, stop):
            yield from [interrupted] * 3

    with pytest.raises(KeyboardInterrupt):
        list(image_sets.small_images(Source(), DATA, 3, "train", [(0, 3)]))
