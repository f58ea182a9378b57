"""Converts a large data set to records.

python -m prsr.prepare --dataset=folder:DIR --output=RECORDS
"""

from absl.flags import DEFINE_integer

from prsr import flags
from prsr.flags import FLAGS


def define():
    flags.define_images()
    with flags.group("Records"):
        flags.define_path(
            "output",
            None,
            "Folder to write to (required); train with --dataset=records:FOLDER",
            required=True,
        )
        DEFINE_integer("images_per_file", 8192, "Images per file (25 MB at 32x32)", 1)


def main():
    from prsr.data import preparation
    from prsr.hparams import DataHparams

    data = DataHparams(
        dataset=FLAGS.dataset, image_size=FLAGS.image_size, crop=FLAGS.crop, split=FLAGS.split
    )
    made = preparation.prepare(data, FLAGS.channels, FLAGS.output, FLAGS.images_per_file)
    for split, (count, images, skipped) in made.items():
        print(f"{split}: {images:,} images in {count:,} file(s), {skipped:,} skipped")
    print(f"checked every image; train with --dataset=records:{FLAGS.output}")
    return 0


if __name__ == "__main__":
    flags.run(main, define)
