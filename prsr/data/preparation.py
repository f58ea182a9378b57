"""Converts any image source to TFRecord files, atomically and resumably.

records.json (`prsr.data.records.MANIFEST`) lists the finished files: how many images each has, how
many were unusable, and the SHA-256 of the images. It is replaced after every file, so running the
same command again resumes a killed process.
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil
import sys

import tensorflow as tf

from prsr.data import image_sets, records, sources, splits
from prsr.system import files, progress
from prsr.system.errors import UserError
from prsr.system.version import __version__


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
    with files.lock(folder, "writing to"):
        return _prepare(data, channels, folder, images_per_file)


def _prepare(data, channels, folder, images_per_file):
    begun = records.read_manifest(folder)
    if begun:  # older versions hashed whole paths
        root = begun["settings"].get("root", splits.WHOLE_PATHS)
        data = dataclasses.replace(data, root=root)
    source = sources.open_source(data.dataset, data.split, channels, data.root)
    names = {split: source.names(split) for split in splits.NAMES}
    if names["test"] == names["validation"]:
        del names["test"]  # readers use validation instead
    for split, of in names.items():
        if not len(of):
            raise UserError(f"data set '{data.dataset}' has no {split} images")
    manifest = _Manifest(
        folder,
        {
            "dataset": data.dataset,
            "split": data.split,
            "root": data.root,
            "crop": source.made_with.get("crop", data.crop),
            "image_size": data.image_size,
            "channels": channels,
            "images_per_file": images_per_file,
            **{f"{split} images": len(of) for split, of in names.items()},
        },
    )
    parts = [
        Part(split, start, min(start + images_per_file, len(of)), f"{split}-{i:05d}.tfrecord")
        for split, of in names.items()
        for i, start in enumerate(range(0, len(of), images_per_file))
    ]
    kept = "finished files are kept: free some space or fix permissions, then run the command again"
    with files.disk_errors(folder, kept):
        for leftover in folder.glob(".partial-*"):
            leftover.unlink()
        listed = [part for part in parts if manifest.lists(part)]
        wrong = _not_whole(manifest, listed)
        missing = [part for part in parts if part in wrong or not manifest.lists(part)]
        if missing or not manifest.path.exists():
            _check_room(folder, missing, data.image_size**2 * channels + records.FRAME)
            manifest.write(complete=False)
        for split in names:
            _write(manifest, source, data, channels, [p for p in missing if p.split == split])
        wrong = _not_whole(manifest, missing)
        if wrong:
            raise UserError(
                f"'{folder / wrong[0].name}' differs from what was written ({len(wrong)} such "
                f"file(s)): the disk is unreliable; use another one"
            )
        found = source.digest()
        if found:
            with files.replacing(folder / records.SPLITS) as partial:
                found[0].save(partial)
        manifest.write(complete=True)
    made = {split: manifest.totals([p for p in parts if p.split == split]) for split in names}
    unusable = [split for split, (_, kept, _) in made.items() if not kept]
    if unusable:
        raise UserError(f"data set '{data.dataset}': no {unusable[0]} image is usable")
    return made


class _Manifest:
    """records.json."""

    def __init__(self, folder, settings):
        self.folder, self.settings = folder, settings
        self.path, self.files = folder / records.MANIFEST, {}
        saved = records.read_manifest(folder)
        if saved is None:
            if any(folder.glob("*.tfrecord")):
                raise UserError(
                    f"'{folder}' has records without {records.MANIFEST}, written by another "
                    f"program; choose another folder"
                )
            return
        self.files = saved["files"]
        before = {"root": splits.WHOLE_PATHS, **saved["settings"]}
        other = [name for name in settings if before.get(name) != settings[name]]
        if other:
            raise UserError(
                f"'{folder}' has records made with {other[0]}={before.get(other[0])}, not "
                f"{settings[other[0]]}; choose another folder"
            )

    def lists(self, part):
        return part.name in self.files

    def add(self, part, images, skipped, digest):
        self.files[part.name] = {"images": images, "skipped": skipped, "sha256": digest}
        self.write(complete=False)

    def write(self, complete):
        content = {
            "prsr": __version__,
            "complete": complete,
            "settings": self.settings,
            "files": dict(sorted(self.files.items())),
        }
        with files.replacing(self.path) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n")

    def totals(self, parts):
        entries = [self.files[part.name] for part in parts]
        kept = sum(entry["images"] > 0 for entry in entries)
        return kept, *(sum(entry[name] for entry in entries) for name in ("images", "skipped"))


def _write(manifest, source, data, channels, parts):
    """Writes the files of some parts of one split in one pass over their images."""
    if not parts:
        return
    split = parts[0].split
    count = sum(part.stop - part.start for part in parts)
    bar, done, problems = progress.Progress(f"writing {split} records", count), 0, {}
    names = source.names(split)
    ranges = []
    for part in parts:  # merge ranges, because some sources read everything before a range
        if ranges and ranges[-1][1] == part.start:
            ranges[-1] = (ranges[-1][0], part.stop)
        else:
            ranges.append((part.start, part.stop))
    images = image_sets.small_images(source, data, channels, split, ranges)
    for part in parts:
        kept, digest = 0, hashlib.sha256()

        def usable(part=part, digest=digest):
            nonlocal done, kept
            for number, image, problem in images:
                if problem is None:
                    kept += 1
                    digest.update(image)
                    yield image
                else:
                    problems[names[number]] = problem
                done += 1
                bar.update(done)
                if number == part.stop - 1:
                    return

        path = manifest.folder / part.name
        with files.replacing(path) as partial:
            records.write(partial, usable())
        if not kept:
            path.unlink()
        manifest.add(part, kept, part.stop - part.start - kept, digest.hexdigest())
    image_sets.report_skipped(problems, count, split)


def _not_whole(manifest, parts):
    """Reads the files from disk and returns the parts that do not match the manifest."""
    bar = progress.Progress("checking records", len(parts))
    wrong = []
    for done, part in enumerate(parts, 1):
        entry, path = manifest.files[part.name], manifest.folder / part.name
        if (path.exists(), entry["images"]) != (False, 0) and _digest(path) != entry["sha256"]:
            print(f"{path} is damaged or missing", file=sys.stderr)
            wrong.append(part)
        bar.update(done)
    return wrong


def _digest(path):
    """Returns the SHA-256 of a file's images, or None if TensorFlow finds it damaged."""
    digest = hashlib.sha256()
    try:
        for block in tf.data.TFRecordDataset(str(path), buffer_size=2**20).batch(1024):
            digest.update(b"".join(block.numpy()))
    except (tf.errors.DataLossError, tf.errors.NotFoundError):
        return None
    return digest.hexdigest()


def _check_room(folder, parts, record):
    needed = sum(part.stop - part.start for part in parts) * record + 2**20
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"'{folder}' has {free:,} bytes free, but the records need {needed:,}; free some "
            f"space, or choose another disk"
        )
