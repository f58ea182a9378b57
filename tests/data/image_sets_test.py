"""Images of any source, cropped and reduced to one size."""

import dataclasses
import faulthandler

import numpy as np
import pytest
from PIL import Image

from prsr.data import image_sets
from prsr.hparams import DataHparams
from prsr.system.errors import UserError
from tests.data.pictures import load

DATA = DataHparams(dataset="drawn:30", image_size=16)


def test_drawn_images_are_always_the_same():
    first, again = (load(DATA, "validation") for _ in range(2))
    np.testing.assert_array_equal(first.images, again.images)
    assert first.images.shape[1:] == (16, 16, 3)
    assert first.images.std() > 20


def test_labels_are_loaded_where_a_set_has_them(tmp_path):
    found = load(DATA, with_labels=True).labels
    assert found.dtype == np.int32 and len(np.unique(found)) > 10 and found.max() < 29
    assert load(DATA).labels is None
    with pytest.raises(UserError, match="no labels"):
        load(folder_of(tmp_path, [(16, 16), (20, 40)]), with_labels=True)


def folder_of(tmp_path, sizes):
    for i, size in enumerate(sizes):
        name = tmp_path / ("train" if i else "val") / f"{i}.png"
        name.parent.mkdir(exist_ok=True)
        Image.new("RGB", size, (10 * i, 0, 0)).save(name)
    return dataclasses.replace(DATA, dataset=f"folder:{tmp_path}")


def test_unusable_images_are_skipped_and_named(tmp_path, capsys):
    data = folder_of(tmp_path, [(16, 16), (20, 40), (64, 17), (64, 15), (32, 32)])
    (tmp_path / "train" / "4.png").write_bytes((tmp_path / "train" / "4.png").read_bytes()[:40])
    (tmp_path / "train" / "5.jpg").write_bytes(b"no image")
    result = load(data)
    assert result.names == ["train/1.png", "train/2.png"]
    assert result.images[:, 0, 0, 0].tolist() == [10, 20]
    message = capsys.readouterr().err
    assert "skipped 3 of 5 train images" in message
    for word in ("train/3.png (smaller than 16x16)", "train/4.png", "train/5.jpg"):
        assert word in message


def test_a_split_without_a_usable_image_is_refused(tmp_path):
    data = folder_of(tmp_path, [(16, 16), (5, 5), (6, 6)])
    with pytest.raises(UserError, match="2 train images"):
        load(data)


def test_images_that_do_not_fit_the_crop_are_refused(tmp_path):
    data = dataclasses.replace(folder_of(tmp_path, [(16, 16), (50, 50)]), crop="celeba")
    with pytest.raises(UserError, match="178x218.*50x50"):
        load(data)


def test_a_limit_reads_only_the_first():
    assert len(load(DATA, limit=4).names) == 4


class Slow:
    """A source whose images are read by Python, some microseconds each."""

    made_with, channels = {}, 3

    def __init__(self, read=lambda: np.full((16, 16, 3), sum(range(1000)) % 256, np.uint8)):
        self.read = read

    def names(self, split):
        return [f"{i}" for i in range(300)]

    def arrays(self, split, start, stop):
        yield from [self.read] * (stop - start)


def test_ctrl_c_in_a_reading_thread_ends_reading():

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(image_sets.small_images(Slow(interrupted), DATA, "train", [(0, 3)]))


def test_reading_may_stop_early_without_a_deadlock():
    faulthandler.dump_traceback_later(120, exit=True)  # pytest itself could not stop a deadlock
    try:
        for count in range(30):
            images = image_sets.small_images(Slow(), DATA, "train", [(0, 300)])
            for number in range(count % 7 + 1):
                assert next(images)[0] == number
            images.close()
    finally:
        faulthandler.cancel_dump_traceback_later()


def test_a_source_with_fewer_images_than_names_is_refused():
    class Short(Slow):
        def arrays(self, split, start, stop):
            yield from [self.read] * 5

    with pytest.raises(UserError, match="fewer images"):
        list(image_sets.small_images(Short(), DATA, "train", [(0, 9)]))
