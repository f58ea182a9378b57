"""Which image is for training, validation and testing."""

import dataclasses
import hashlib
import itertools
import os
import pathlib
import re
import unicodedata

import numpy as np

from prsr import progress
from prsr.errors import UserError

NAMES = ("train", "validation", "test")

_FOLDERS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
# CelebA's list_eval_partition.txt: 000001 to 162770, 182637 and 202599.
_CELEBA_NAME = re.compile(r"\d{6}\.(jpg|png)", re.IGNORECASE)
_CELEBA_LAST = {"train": 162_770, "validation": 182_637, "test": 202_599}


def assign(names, how="auto"):
    """Divides images among the splits, by their names alone.

    Args:
        names: distinct relative paths with forward slashes.
        how: one of `prsr.hparams.SPLITS`. `"auto"` takes CelebA's official partition if
            every file bears an official name, else folders named train, val and test if
            every file lies in one, else the hash. Where only some fit, that is said.

    Returns:
        A dict from each of `NAMES` to a list, in the order of `canonical` names. Where folders
        give no test split, validation serves as test, as for LSUN.

    Raises:
        UserError: `how` does not fit the names.
    """
    if how == "auto":
        how = _first_that_fits(names)
    elif how in _BY_NAME and (strays := _strays(names, how)):
        raise UserError(
            f"split={how} cannot place '{strays[0]}': expected {_EXPECTED[how]}; use split=hash"
        )
    keys = dict(zip(names, names if how == "paths" else canonical(names)))
    if how not in _BY_NAME:
        return _by_hash(keys)
    result = {split: [] for split in NAMES}
    for name in sorted(names, key=lambda name: (keys[name], name)):
        result[_BY_NAME[how](name)].append(name)
    if how == "folders" and not result["test"]:
        result["test"] = result["validation"]
    return result


def canonical(names):
    """Names as they are hashed: one form of Unicode, without the folders that all are in.

    So a folder, a zip of it and a copy on another system are divided alike.

    Args:
        names: relative paths with forward slashes.

    Returns:
        A list of strings.
    """
    names = [unicodedata.normalize("NFC", name) for name in names]
    folders = [name.split("/")[:-1] for name in names]
    common = os.path.commonprefix([min(folders, default=[]), max(folders, default=[])])
    return [name[sum(len(part) + 1 for part in common) :] for name in names]


def _celeba(name):
    file_name = pathlib.PurePosixPath(name).name
    if not _CELEBA_NAME.fullmatch(file_name):
        return None
    number = int(file_name[:6])
    return next((split for split in NAMES if 0 < number <= _CELEBA_LAST[split]), None)


def _folder(name):
    # The folder may lie within others: bedroom/train/0001.jpg.
    for part in pathlib.PurePosixPath(name).parts[:-1]:
        if part.lower() in _FOLDERS:
            return _FOLDERS[part.lower()]
    return None


_BY_NAME = {"celeba": _celeba, "folders": _folder}
_EXPECTED = {
    "celeba": "CelebA's names, 000001.jpg to 202599.jpg",
    "folders": "every image in a folder named train, val or test",
}


def _strays(names, how):
    return [name for name in names if _BY_NAME[how](name) is None]


def _first_that_fits(names):
    for kind in _BY_NAME:
        strays = _strays(names, kind)
        if not strays:
            return kind
        if len(strays) < len(names):
            progress.say_once(
                f"split=auto does not divide these {len(names):,} images by split={kind}: "
                f"{len(strays):,} of them do not fit, such as '{strays[0]}'; take them away, or "
                f"say which split is meant"
            )
    return "hash"


def _hash(name):
    """64 bits."""
    content = name.encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def _by_hash(keys):
    """90% train, 5% validation, 5% test. A few images still give each split one."""
    shares = {name: _hash(key) / 2**64 for name, key in keys.items()}
    ranked = sorted(keys, key=lambda name: (shares[name], keys[name], name))
    if len(ranked) < len(NAMES):
        raise UserError(
            f"expected at least 3 images, one each to train, validate and test on, "
            f"and found {len(ranked)}"
        )
    validation = max(1, sum(share < 0.05 for share in shares.values()))
    test = max(1, sum(0.05 <= share < 0.10 for share in shares.values()))
    parts = {
        "train": ranked[validation + test :],
        "validation": ranked[:validation],
        "test": ranked[validation : validation + test],
    }
    return {
        split: sorted(part, key=lambda name: (keys[name], name)) for split, part in parts.items()
    }


@dataclasses.dataclass(frozen=True)
class Digest:
    """Which images are in which split, by their `canonical` names.

    Attributes:
        hashes: a dict from each of `NAMES` to a sorted uint64 array, one a name.
        trained: such an array of all images that were ever trained on.
        folders: a list of the folders that they lie in, each with a slash behind; none if they
            are too many.
    """

    hashes: dict
    trained: np.ndarray
    folders: list

    _MOST_FOLDERS = 1000

    @classmethod
    def of(cls, splits, known=None):
        """The digest of some splits.

        Args:
            splits: as `assign` returns it.
            known: the `Digest` of a set that may lie some folders higher or lower, or None. Names
                are then spelt as they were there.

        Returns:
            `(digest, names)`, where `names` is a dict from each hash to a name.
        """
        parts = [splits[split] for split in NAMES]
        if parts[2] == parts[1]:
            parts[2] = []  # one serves for the other
        names = list(itertools.chain(*parts))
        keys = canonical(names)
        folders = _folders(keys)
        if known is not None:
            keys = _spelt_as(keys, known)
        hashes = [_hash(key) for key in keys]
        numbers = iter(np.array(hashes, np.uint64))
        found = {
            split: np.unique(np.fromiter(itertools.islice(numbers, len(part)), np.uint64))
            for split, part in zip(NAMES, parts)
        }
        trained = found["train"] if known is None else np.union1d(found["train"], known.trained)
        kept = folders if len(folders) <= cls._MOST_FOLDERS else []
        return cls(found, trained, kept), dict(zip(hashes, names))

    @classmethod
    def unknown(cls):
        """The digest of a set whose images have no names."""
        nothing = np.array([], np.uint64)
        return cls(dict.fromkeys(NAMES, nothing), nothing, [])

    def __len__(self):
        return sum(map(len, self.hashes.values()))

    def changes(self, before):
        """What became of the images of another digest, in words: a list of strings."""
        new, old = (np.concatenate(list(d.hashes.values())) for d in (self, before))
        counts = {"added": len(np.setdiff1d(new, old)), "gone": len(np.setdiff1d(old, new))}
        for source, target in itertools.permutations(NAMES, 2):
            moved = np.intersect1d(before.hashes[source], self.hashes[target])
            counts[f"moved from {source} to {target}"] = len(
                np.setdiff1d(moved, before.hashes[target])
            )
        return [f"{count:,} {what}" for what, count in counts.items() if count]

    def save(self, path):
        """Writes it as NumPy's npz."""
        with open(path, "wb") as file:
            np.savez_compressed(
                file,
                folders=np.array(self.folders, np.str_),
                trained=self.trained,
                **self.hashes,
            )

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote.

        Raises:
            UserError: the file cannot be read.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                *parts, trained = (file[name] for name in (*NAMES, "trained"))
                if any(part.dtype != np.uint64 or part.ndim != 1 for part in (*parts, trained)):
                    raise ValueError("expected lists of 64 bits")
                folders = [str(folder) for folder in file["folders"]]
                return cls(dict(zip(NAMES, parts)), trained, folders)
        except Exception as error:  # zip, zlib and NumPy raise many kinds
            raise UserError(
                f"'{path}' cannot be read as the digest of a run's images "
                f"({type(error).__name__}: {error}); delete it, and nobody checks them"
            ) from error


def _folders(keys):
    """All folders of some paths, with a slash behind."""
    found = set()
    for folder in {key.rpartition("/")[0] for key in keys}:
        while folder and f"{folder}/" not in found:
            found.add(f"{folder}/")
            folder = folder.rpartition("/")[0]
    return sorted(found)


def _spelt_as(keys, known):
    """Canonical names, as they are from the folder that a known set was seen from."""
    hashes = set(np.concatenate([known.trained, *known.hashes.values()]).tolist())
    scores = {("", ""): sum(_hash(key) in hashes for key in keys)}
    if 2 * max(scores.values()) < min(len(keys), len(hashes)):
        for key in keys:  # it lay lower
            end = key.find("/") + 1
            while end:
                if _hash(key[end:]) in hashes:
                    scores[key[:end], ""] = scores.get((key[:end], ""), 0) + 1
                end = key.find("/", end) + 1
        step = len(keys) // 100 + 1
        for folder in known.folders:  # or higher
            scores["", folder] = step * sum(_hash(folder + key) in hashes for key in keys[::step])
    less, more = max(scores, key=scores.get)
    # What lies elsewhere gets a name that nothing has.
    return [more + key[len(less) :] if key.startswith(less) else f"/{key}" for key in keys]
