"""Table 1's bicubic row under today's bicubic enlargement and TensorFlow 1's.

    python experiments/tf1_bicubic.py --dataset=records:celeba_records

TensorFlow 1's `resize_bicubic` knew no half-pixel centres: pixel i of the input lies exactly at
pixel 4 i of the enlarged image. The last column compares every fourth pixel with the input, instead
of the image reduced as in training; so TensorFlow 1 would have reduced it.
"""

import numpy as np
import tensorflow as tf
from absl import app, flags

from prsr.data import pipeline, sources
from prsr.evaluation import metrics, table1, tables
from prsr.hparams import Hparams
from prsr.images import quantize, upsample_bicubic

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, "The images as KIND:WHERE, cropped as CelebA.", required=True)
COLUMNS = ("psnr", "psnr_uint8_wrap", "ssim", "ms_ssim", "consistency", "every_fourth")


def main(_):
    settings = {"dataset": FLAGS.dataset, "crop": "celeba"}
    hparams = Hparams.from_dict({"model": {}, "data": settings, "training": {}})
    source = sources.open_source(FLAGS.dataset, "auto", channels=3)
    _, low_res, high_res = pipeline.test_pairs(source, hparams)
    size = high_res.shape[1:3]
    enlarged = {
        "half-pixel centres": np.asarray(upsample_bicubic(low_res, 4)),
        "TensorFlow 1": quantize(tf.compat.v1.image.resize_bicubic(low_res, size)).numpy(),
    }
    print(f"{len(low_res)} images\n")
    rows = [["the paper", "", *table1.PAPER["faces"]["bicubic"][:4], ""]]
    for name, images in enlarged.items():
        found = metrics.measure(images, high_res, low_res, "antialiased")
        found["every_fourth"] = metrics.consistency(images, low_res, "tf1_bicubic")
        digits = {"psnr": 2, "psnr_uint8_wrap": 2, "ssim": 3, "ms_ssim": 3}
        rows.append(
            [
                name,
                *(tables.plus_minus(tables.summary(found[c]), digits.get(c, 4)) for c in COLUMNS),
            ]
        )
    print(tables.to_markdown(["enlarged by", *COLUMNS], rows))


if __name__ == "__main__":
    app.run(main)
