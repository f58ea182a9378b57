"""Assigns images to the training, validation and test splits, and detects later changes."""

import dataclasses
import hashlib
import itertools
import os
import pathlib
import re
import unicodedata

import numpy as np

from prsr.system import progress
from prsr.system.errors import UserError

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


def assign(names, how="auto", root=""):
    """Splits images by their names alone.

    Args:
        names: distinct relative paths with forward slashes.
        how: one of `prsr.hparams.SPLITS`. `"auto"` uses CelebA's official partition if every file
            has an official name, else folders named train, val and test if every file is in one,
            else the hash. If only some files fit, it says so on standard error.
        root: as for `keys`.

    Returns:
        A dict from each of `NAMES` to a list, in the order of their `keys`. If there is no test
        folder, validation also serves as test, as for LSUN.

    Raises:
        UserError: `how` does not fit the names.
    """
    if how == "auto":
        how = _first_that_fits(names)
    elif how in _BY_NAME and (strays := _strays(names, how)):
        raise UserError(
            f"split={how} cannot place '{strays[0]}': expected {_EXPECTED[how]}; use split=hash"
        )
    key_of = dict(zip(names, keys(names, root)))
    if how == "hash":
        return _by_hash(key_of)
    result = {split: [] for split in NAMES}
    for name in sorted(names, key=lambda name: (key_of[name], name)):
        result[_BY_NAME[how](name)].append(name)
    if how == "folders" and not result["test"]:
        result["test"] = result["validation"]
    return result


WHOLE_PATHS = "="  # a root


def keys(names, root=""):
    """Returns names in the form that is hashed: Unicode-normalised, without their common folder.

    So a folder, a zip of it and a copy on another system are split the same way.

    Args:
        names: relative paths with forward slashes.
        root: the folder that names are relative to, for a set that became part of a larger one, or
            the reverse. `"-FOLDER/"` is a folder below their common one (names outside it then
            start with a slash); `"+FOLDER/"` is prepended. `WHOLE_PATHS` leaves names unchanged, as
            in versions before 0.2.

    Returns:
        A list of strings.
    """
    if root == WHOLE_PATHS:
        return list(names)
    names = [unicodedata.normalize("NFC", name) for name in names]
    folders = [name.split("/")[:-1] for name in names]
    common = os.path.commonprefix([min(folders, default=[]), max(folders, default=[])])
    names = [name[sum(len(part) + 1 for part in common) :] for name in names]
    folder = root[1:]
    if root.startswith("-"):
        return [n.removeprefix(folder) if n.startswith(folder) else f"/{n}" for n in names]
    return [folder + name for name in names]


def _celeba(name):
    file_name = pathlib.PurePosixPath(name).name
    if not _CELEBA_NAME.fullmatch(file_name):
        return None
    number = int(file_name[:6])
    return next((split for split in NAMES if 0 < number <= _CELEBA_LAST[split]), None)


def _folder(name):
    # The folder may be nested: bedroom/train/0001.jpg.
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
                f"split=auto cannot use split={kind} for these {len(names):,} images: "
                f"{len(strays):,} of them do not fit, such as '{strays[0]}'; remove them, or set "
                f"split yourself"
            )
    return "hash"


def _hash(name):
    """Returns a 64-bit hash."""
    content = name.encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def _by_hash(key_of):
    """Splits into 90% train, 5% validation and 5% test, with at least one image each."""
    shares = {name: _hash(key) / 2**64 for name, key in key_of.items()}
    ranked = sorted(key_of, key=lambda name: (shares[name], key_of[name], name))
    if len(ranked) < len(NAMES):
        raise UserError(
            f"expected at least 3 images, one each for training, validation and testing; "
            f"found {len(ranked)}"
        )
    validation = max(1, sum(share < 0.05 for share in shares.values()))
    test = max(1, sum(0.05 <= share < 0.10 for share in shares.values()))
    parts = {
        "train": ranked[validation + test :],
        "validation": ranked[:validation],
        "test": ranked[validation : validation + test],
    }
    return {
        split: sorted(part, key=lambda name: (key_of[name], name)) for split, part in parts.items()
    }


@dataclasses.dataclass(frozen=True)
class Digest:
    """Records which images are in which split, as hashes of their `keys`.

    Attributes:
        hashes: a dict from each of `NAMES` to a sorted uint64 array, one hash per name.
        trained: such an array of all images that were ever trained on.
        folders: a list of their folders, each with a trailing slash; empty if there are too many.
        root: the root of the `keys`.
    """

    hashes: dict
    trained: np.ndarray
    folders: list
    root: str = ""

    _MOST_FOLDERS = 1000

    @classmethod
    def of(cls, splits, known=None):
        """Computes the digest of some splits.

        Args:
            splits: as `assign` returns it.
            known: the `Digest` of a set that may contain this one or be contained in it, or None.
                The root is then chosen so that most of its `keys` are found again.

        Returns:
            `(digest, names)`, where `names` is a dict from each hash to a name.
        """
        parts = [splits[split] for split in NAMES]
        if parts[2] == parts[1]:
            parts[2] = []  # validation also serves as test
        names = list(itertools.chain(*parts))
        root = "" if known is None else _root(names, known)
        spelt = keys(names, root)
        hashes, folders = [_hash(key) for key in spelt], _folders(spelt)
        numbers = iter(np.array(hashes, np.uint64))
        found = {
            split: np.unique(np.fromiter(itertools.islice(numbers, len(part)), np.uint64))
            for split, part in zip(NAMES, parts)
        }
        trained = found["train"] if known is None else np.union1d(found["train"], known.trained)
        kept = folders if len(folders) <= cls._MOST_FOLDERS else []
        return cls(found, trained, kept, root), dict(zip(hashes, names))

    @classmethod
    def unknown(cls):
        """Returns the digest of a set whose images have no names."""
        nothing = np.array([], np.uint64)
        return cls(dict.fromkeys(NAMES, nothing), nothing, [])

    def __len__(self):
        return sum(map(len, self.hashes.values()))

    def changes(self, before):
        """Describes the changes since another digest, as a list of strings."""
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
                root=np.array(self.root),
                **self.hashes,
            )

    @classmethod
    def load(cls, path):
        """Reads what `save` wrote.

        Raises:
            UserError: the file is invalid.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                *parts, trained = (file[name] for name in (*NAMES, "trained"))
                if any(part.dtype != np.uint64 or part.ndim != 1 for part in (*parts, trained)):
                    raise ValueError("expected lists of 64 bits")
                folders = [str(folder) for folder in file["folders"]]
                return cls(dict(zip(NAMES, parts)), trained, folders, str(file["root"]))
        except Exception as error:  # zip, zlib and NumPy raise many kinds
            raise UserError(
                f"cannot read '{path}', the digest of a run's images "
                f"({type(error).__name__}: {error}); delete it to continue without this check"
            ) from error


def _folders(names):
    """Returns all folders of some paths, with a trailing slash."""
    found = set()
    for folder in {key.rpartition("/")[0] for key in names}:
        while folder and f"{folder}/" not in found:
            found.add(f"{folder}/")
            folder = folder.rpartition("/")[0]
    return sorted(found)


def _root(names, known):
    """Returns the root for which most names of a known set are found again."""
    hashes = set(np.concatenate([known.trained, *known.hashes.values()]).tolist())

    def found(root):
        return sum(_hash(key) in hashes for key in keys(names, root))

    best = max((known.root, ""), key=found)
    if 2 * found(best) >= min(len(names), len(hashes)):
        return best
    scores = {best: found(best)}
    own = keys(names)
    for key in own:  # the known set may be part of this one
        end = key.find("/") + 1
        while end:
            if _hash(key[end:]) in hashes:
                scores[f"-{key[:end]}"] = scores.get(f"-{key[:end]}", 0) + 1
            end = key.find("/", end) + 1
    step = len(own) // 100 + 1
    for folder in known.folders:  # or this one part of it
        scores[f"+{folder}"] = step * sum(_hash(folder + key) in hashes for key in own[::step])
    return max(scores, key=scores.get)
