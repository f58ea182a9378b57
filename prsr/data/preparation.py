"""Converts any image source to TFRecord files, atomically and resumably.

records.json (`prsr.data.records.Manifest`) lists the finished files: how many images each has, and
how many were unusable. It is replaced after every file, so running the same command again resumes a
killed process.
"""

import dataclasses
import itertools
import pathlib
import sys

import tensorflow as tf

from prsr.data import image_sets, records, sources, splits
from prsr.system import files, progress
from prsr.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Part:
    """The range of a split's images that one file holds."""

    split: str
    start: int
    stop: int
    name: str


def prepare(data, channels, folder, images_per_file):
    """Writes every usable image of a data set to records, keeping files that are already complete.

    Args:
        data: `prsr.hparams.DataHparams`: the source, the crop and the size.
        channels: 1 or 3.
        folder: output folder.
        images_per_file: images per file, including unusable ones, which are then skipped.

    Returns:
        A dict from splits to `(files, images, skipped)`.

    Raises:
        UserError: the images cannot be read, the files cannot be written, or the folder holds
            records made with other settings.
    """
    if data.image_size < 1 or channels not in (1, 3):
        raise UserError(
            f"image_size must be 1 or more and channels 1 or 3; got image_size={data.image_size} "
            f"and channels={channels}"
        )
    folder = pathlib.Path(folder)
    kept = "finished files are kept: "
    with files.lock(folder, "writing to"), files.disk_errors(folder, kept):
        return _prepare(data, channels, folder, images_per_file)


def _prepare(data, channels, folder, images_per_file):
    source = sources.open_source(data.dataset, data.split, channels)
    names = {split: source.names(split) for split in splits.NAMES}
    if names["test"] == names["validation"]:
        del names["test"]  # readers use validation instead
    for split, of in names.items():
        if not len(of):
            raise UserError(f"data set '{data.dataset}' has no {split} images")
    settings = {
        "dataset": data.dataset,
        "split": data.split,
        "root": "",  # how names are hashed; earlier versions had other ways
        "crop": source.made_with.get("crop", data.crop),
        "image_size": data.image_size,
        "channels": channels,
        "images_per_file": images_per_file,
        **{f"{split} images": len(of) for split, of in names.items()},
    }
    parts = [
        Part(split, start, min(start + images_per_file, len(of)), f"{split}-{i:05d}.tfrecord")
        for split, of in names.items()
        for i, start in enumerate(range(0, len(of), images_per_file))
    ]
    manifest = _begin_preparing(folder, settings)
    missing = [part for part in parts if not _is_part_whole(folder, manifest, part)]
    if missing:
        manifest.complete = False
        manifest.write(folder)
    for split in names:
        of_split = [part for part in missing if part.split == split]
        _write_parts(folder, manifest, source, data, split, of_split)
    wrong = [part for part in missing if not _is_part_whole(folder, manifest, part)]
    if wrong:
        raise UserError(
            f"'{folder / wrong[0].name}' differs from what was written ({len(wrong)} such "
            f"file(s)): the disk is unreliable; use another one"
        )
    digest = source.digest()
    if digest:
        with files.replacing(folder / records.SPLITS) as partial:
            digest.save(partial)
    manifest.complete = True
    manifest.write(folder)
    made = {}
    for split in names:
        entries = [manifest.files[part.name] for part in parts if part.split == split]
        count, skipped = (sum(entry[key] for entry in entries) for key in ("images", "skipped"))
        if not count:
            raise UserError(f"data set '{data.dataset}': no {split} image is usable")
        made[split] = sum(entry["images"] > 0 for entry in entries), count, skipped
    return made


def _begin_preparing(folder, settings):
    """Returns the manifest of a folder, or a new one, after comparing its settings."""
    manifest = records.Manifest.read(folder)
    if manifest is None:
        if any(folder.glob("*.tfrecord")):
            raise UserError(
                f"'{folder}' has records without {records.MANIFEST}, written by another program; "
                f"choose another folder"
            )
        manifest = records.Manifest(settings)
    for name, value in settings.items():
        if (before := manifest.settings.get(name)) != value:
            raise UserError(
                f"'{folder}' has records made with {name}={before}, not {value}; choose another "
                f"folder"
            )
    return manifest


def _write_parts(folder, manifest, source, data, split, parts):
    """Writes the files of some parts of one split in one pass over their images."""
    count, done, kept, problems = sum(part.stop - part.start for part in parts), 0, 0, {}
    bar, names = progress.Progress(f"writing {split} records", count), source.names(split)
    ranges = []
    for part in parts:  # merge ranges, because some sources read everything before a range
        if ranges and ranges[-1][1] == part.start:
            ranges[-1] = (ranges[-1][0], part.stop)
        else:
            ranges.append((part.start, part.stop))
    images = image_sets.small_images(source, data, split, ranges)

    def usable(part):
        nonlocal done, kept
        for number, image, problem in itertools.islice(images, part.stop - part.start):
            if problem is None:
                kept += 1
                yield image
            else:
                problems[names[number]] = problem
            done += 1
            bar.update(done)

    for part in parts:
        kept, path = 0, folder / part.name
        with files.replacing(path) as partial:
            records.write(partial, usable(part))
        if not kept:
            path.unlink()
        manifest.files[part.name] = {"images": kept, "skipped": part.stop - part.start - kept}
        manifest.write(folder)
    image_sets.report_skipped(problems, count, f"{split} images")


def _is_part_whole(folder, manifest, part):
    """Whether a file has the records that the manifest lists, by their number and checksums."""
    if part.name not in manifest.files:
        return False
    path, count, found = folder / part.name, manifest.files[part.name]["images"], 0
    try:
        if path.exists() or count:
            for block in tf.data.TFRecordDataset(str(path), buffer_size=2**20).batch(1024):
                found += len(block)
    except (tf.errors.DataLossError, tf.errors.NotFoundError):
        found = -1
    if found != count:
        print(f"{path} is damaged or missing", file=sys.stderr)
    return found == count
