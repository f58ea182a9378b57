"""Records hold the images that were written, in their order."""

import numpy as np

from prsr.data import image_sets, pipeline, records
from prsr.hparams import DataHparams


def test_blocks_of_records_and_of_memory_are_the_same(tmp_path):
    data = DataHparams(dataset="drawn:40", image_size=16)
    pool = image_sets.load(data, 3, "train").images
    records.write(tmp_path / "train-00000.tfrecord", pool)
    streamed = DataHparams(dataset=f"records:{tmp_path}", image_size=16)
    for one, other in zip(
        pipeline.blocks(data, 3, 4, "train", 7)[0], pipeline.blocks(streamed, 3, 4, "train", 7)[0]
    ):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_array_equal(image_sets.load(streamed, 3, "train").images, pool)
