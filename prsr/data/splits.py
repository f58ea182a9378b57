"""Assigns images to the training, validation and test splits, and detects later changes."""

import contextlib
import dataclasses
import hashlib
import itertools
import os
import pathlib
import re
import sys
import unicodedata

import numpy as np

from prsr.data import listing
from prsr.system import progress
from prsr.system.errors import UserError

NAMES = ("train", "validation", "test")

_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# CelebA's list_eval_partition.txt: 000001 to 162770, 182637 and 202599.
_CELEBA_NAME = re.compile(r"\d{6}\.(jpg|png)", re.IGNORECASE)
_CELEBA_LAST = {"train": 162_770, "validation": 182_637, "test": 202_599}
_CELEBA_SHAPE = (218, 178)


def assign(names, how="auto", read=None):
    """Splits images by their names.

    Args:
        names: distinct relative paths with forward slashes.
        how: one of `prsr.hparams.SPLITS`. `"auto"` uses CelebA's official partition if every file
            has an official name and some that are read have the official size, else folders for
            train, val and test if every file is in one, else the hash, which it says on standard
            error.
        read: function from a name to an image, `[height, width, channels]`; None reads none.

    Returns:
        A dict from each of `NAMES` to a list, in the order of their `keys`. If there is no test
        folder, validation also serves as test, as for LSUN. If there is none for validation, 5% of
        the training images are taken.

    Raises:
        UserError: `how` does not fit the names.
    """
    if how == "auto":
        how = _first_split_that_fits(names, read)
    elif how in _BY_NAME and (strays := _without_split(names, how)):
        raise UserError(
            f"split={how} cannot place '{strays[0]}': expected {_EXPECTED[how]}; use split=hash"
        )
    key_of = dict(zip(names, keys(names)))
    ordered = sorted(names, key=lambda name: (key_of[name], name))
    split_of = _splits_by_hash(key_of) if how == "hash" else dict(zip(names, _BY_NAME[how](names)))
    result = {split: [] for split in NAMES}
    for name in ordered:
        result[split_of[name]].append(name)
    if how == "folders" and not result["validation"] and len(train := result["train"]) > 1:
        held = {name for name in train if _split_hash(key_of[name]) < 0.05 * 2**64} or {train[0]}
        result["validation"] = [name for name in train if name in held]
        result["train"] = [name for name in train if name not in held]
        progress.say_once(
            f"without a folder for validation, {len(held):,} training images validate"
        )
    if how == "folders" and not result["test"]:
        result["test"] = result["validation"]
    return result


def chosen(splits, known, dataset):
    """Returns only the images that a model's card names, and prints to standard error how many.

    Args:
        splits: as `assign` returns them; they stay if they have none of the test images.
        known: maps each of `NAMES` to a bytes array, names without folder and extension. Splits and
            order of the result are those of `known`.
        dataset: where the images are, for the message.
    """
    stem_of = {name: pathlib.PurePosixPath(name).stem for part in splits.values() for name in part}
    name_of = {stem: name for name, stem in stem_of.items()}
    stems = {part: known[part].astype(str) for part in NAMES}
    result = {part: [name_of[s] for s in stems[part] if s in name_of] for part in NAMES}
    if not result["test"]:
        return splits
    counts = ((part, len(result[part]), len(stems[part])) for part in NAMES)
    found = ", ".join(f"{n:,} {part} images ({of - n:,} missing)" for part, n, of in counts)
    where = f"of the {len(stem_of):,} images in '{dataset}', only those that the model card names"
    print(f"{where}: {found}; --all_images uses all", file=sys.stderr)
    return result


def keys(names):
    """Returns names in the form that is hashed: Unicode-normalised, without their common folder.

    So a folder, a zip of it and a copy on another system are split the same way. `names` are
    relative paths with forward slashes.
    """
    names = [unicodedata.normalize("NFC", name) for name in names]
    folders = [name.split("/")[:-1] for name in names]
    common = os.path.commonprefix([min(folders, default=[]), max(folders, default=[])])
    return [name[sum(len(part) + 1 for part in common) :] for name in names]


def _celeba_splits(names):
    """Returns CelebA's official split of each name, or None."""
    files = [pathlib.PurePosixPath(name).name for name in names]
    numbers = [int(file[:6]) if _CELEBA_NAME.fullmatch(file) else 0 for file in files]
    return [next((s for s in NAMES if 0 < n <= _CELEBA_LAST[s]), None) for n in numbers]


def _folder_splits(names):
    """Returns the split that each name's outermost such folder is for, or None.

    A word of a folder's name counts, as in DIV2K_train_HR, if others name another split; a whole
    name always does. The folder may be nested: bedroom/train/0001.jpg.
    """
    by_word = [_outermost(key, listing.words) for key in keys(names)]
    if len({*by_word} - {None}) > 1:
        return by_word
    return [_outermost(name, lambda folder: {folder.lower()}) for name in names]


def _outermost(name, words):
    folders = pathlib.PurePosixPath(name).parts[:-1]
    return next(filter(None, (of_folder(folder, words) for folder in folders)), None)


def of_folder(name, words=listing.words):
    """Returns the split that the words of a folder's name mean; None without one, or with two."""
    found = {_WORDS[word] for word in words(name) if word in _WORDS}
    return found.pop() if len(found) == 1 else None


_BY_NAME = {"celeba": _celeba_splits, "folders": _folder_splits}
_EXPECTED = {
    "celeba": "CelebA's names, 000001.jpg to 202599.jpg",
    "folders": "every image in a folder for train, val or test",
}


def _without_split(names, how):
    return [name for name, split in zip(names, _BY_NAME[how](names)) if split is None]


def _first_split_that_fits(names, read):
    reasons = ""
    for kind in _BY_NAME:
        strays = _without_split(names, kind)
        other = None if strays or kind != "celeba" else _unlike_celeba(names, read)
        if not strays and not other:
            return kind
        if other or len(strays) < len(names):
            stray = other or f"{len(strays):,} of them do not fit, such as '{strays[0]}'"
            reasons += f"; split={kind} cannot be used: {stray}"
    progress.say_once(
        f"split=auto: {len(names):,} images are split 90:5:5 by a hash of their names{reasons}"
    )
    return "hash"


def _unlike_celeba(names, read):
    """Says which of some images has not the size of CelebA's; unreadable ones do not count."""
    for name in sorted(names)[:: len(names) // 16 + 1] if read else ():
        with contextlib.suppress(OSError, ValueError):
            if (shape := read(name).shape[:2]) != _CELEBA_SHAPE:
                return f"'{name}' has {shape[1]}x{shape[0]} pixels, not 178x218"
    return None


def _split_hash(key):
    """Returns a 64-bit hash."""
    content = key.encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def _splits_by_hash(key_of):
    """Returns each name's split: 90% train, 5% validation, 5% test, at least one image each."""
    if len(key_of) < len(NAMES):
        raise UserError(
            f"expected at least 3 images, one each for training, validation and testing; "
            f"found {len(key_of)}"
        )
    shares = {name: _split_hash(key) / 2**64 for name, key in key_of.items()}
    ranked = sorted(key_of, key=lambda name: (shares[name], key_of[name], name))
    validation = max(1, sum(share < 0.05 for share in shares.values()))
    test = max(1, sum(0.05 <= share < 0.10 for share in shares.values()))
    order = itertools.chain(["validation"] * validation, ["test"] * test, itertools.repeat("train"))
    return dict(zip(ranked, order))


@dataclasses.dataclass(frozen=True)
class Digest:
    """Records which images are in which split, as hashes of their `keys`.

    Attributes:
        hashes: a dict from each of `NAMES` to a sorted uint64 array, one hash per name.
        trained: such an array of all images that were ever trained on.
    """

    hashes: dict
    trained: np.ndarray

    @classmethod
    def of(cls, splits):
        """Computes the digest of some splits, as `assign` returns them."""
        parts = [splits[split] for split in NAMES]
        if parts[2] == parts[1]:
            parts[2] = []  # validation also serves as test
        names = list(itertools.chain(*parts))
        hashes = np.fromiter(map(_split_hash, keys(names)), np.uint64, len(names))
        ends = np.cumsum([len(part) for part in parts])
        found = dict(zip(NAMES, map(np.unique, np.split(hashes, ends[:-1]))))
        return cls(found, found["train"])

    def __len__(self):
        return sum(map(len, self.hashes.values()))

    def all(self):
        """Returns the hashes of all images, also of those that are gone, as a uint64 array."""
        return np.concatenate([*self.hashes.values(), self.trained])

    def changes(self, before):
        """Describes the changes since another digest, as a list of strings."""
        new, old = (np.concatenate(list(d.hashes.values())) for d in (self, before))
        counts = {"added": len(np.setdiff1d(new, old)), "gone": len(np.setdiff1d(old, new))}
        for source, target in itertools.permutations(NAMES, 2):
            moved = np.setdiff1d(self.hashes[target], before.hashes[target])
            moved = np.intersect1d(before.hashes[source], moved)
            counts[f"moved from {source} to {target}"] = len(moved)
        return [f"{count:,} {what}" for what, count in counts.items() if count]

    def save(self, path):
        """Writes it as NumPy's npz."""
        with open(path, "wb") as file:
            np.savez_compressed(file, trained=self.trained, **self.hashes)

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote. Raises `UserError` if the file is invalid."""
        try:
            with np.load(path, allow_pickle=False) as file:
                *parts, trained = (file[name].astype(np.uint64) for name in (*NAMES, "trained"))
        except Exception as error:  # zip, zlib and NumPy raise many kinds
            raise UserError(
                f"cannot read '{path}', the digest of a run's images "
                f"({type(error).__name__}: {error}); delete it to continue without this check"
            ) from error
        return cls(dict(zip(NAMES, parts)), trained)


def check(path, source, dataset, trained_on=None):
    """Compares the images of a data set with a run's digest at `path`, if there is one.

    Prints any changes to standard error. `source` is the opened data set, `dataset` its
    `KIND:WHERE`, and `trained_on` that of the run's settings, or None. Returns the `Digest` to save
    when the run is trained on these images; None if they have no names.

    Raises:
        UserError: the test split contains images that the run was trained on, or the run's own
            data set has none of the images that the run knows.
    """
    known = Digest.load(path) if path.exists() else None
    digest = source.digest()
    if not (digest and known):
        return digest or known
    changes = ", ".join(digest.changes(known))
    leaked = set(np.intersect1d(digest.hashes["test"], known.trained).tolist())
    if leaked:
        names = list(itertools.chain(*source.splits.values()))
        found = (name for name, key in zip(names, keys(names)) if _split_hash(key) in leaked)
        example = next((f", such as '{name}'" for name in found), "")
        raise UserError(
            f"the run in '{path.parent}' was trained on {len(leaked):,} images that are now in the "
            f"test split of '{dataset}'{example} ({changes}); restore the original images and "
            f"paths, or train a new run"
        )
    if not len(np.intersect1d(digest.all(), known.all())):
        none = f"none of the {len(known):,} images that the run in '{path.parent}' knows by name"
        if dataset == trained_on:
            raise UserError(f"{none} is left in '{dataset}'; restore the original paths")
        print(
            f"'{dataset}' has {none}: whether it was trained on them cannot be told",
            file=sys.stderr,
        )
    elif changes:
        print(f"the images of '{path.parent}' have changed: {changes}", file=sys.stderr)
    return dataclasses.replace(digest, trained=np.union1d(digest.trained, known.trained))
