"""Makes records of a large data set: python -m prsr.prepare --dataset=lmdb:DIR --output=DIR"""

from absl import flags

from prsr.flags import FLAGS, define_images, run


def define():
    define_images()
    flags.DEFINE_string(
        "output", None, "The folder to write to; train with --dataset=records:FOLDER."
    )
    flags.mark_flag_as_required("output")
    flags.DEFINE_integer("images_per_file", 8192, "Images a file, 25 MB of 32x32 ones.", 1)


def main():
    from prsr.data import preparation
    from prsr.hparams import DataHparams

    data = DataHparams(
        dataset=FLAGS.dataset, image_size=FLAGS.image_size, crop=FLAGS.crop, split=FLAGS.split
    )
    made = preparation.prepare(data, FLAGS.channels, FLAGS.output, FLAGS.images_per_file)
    for split, (count, images, skipped) in made.items():
        print(f"{split}: {images:,} images in {count:,} file(s), {skipped:,} skipped")
    print(f"all of them read again and whole: --dataset=records:{FLAGS.output} trains on them")
    return 0


if __name__ == "__main__":
    run(main, define)
