"""Which image is for training, validation and testing."""

import hashlib
import pathlib
import re

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
            every file lies in one, else the hash.

    Returns:
        A dict from each of `NAMES` to a sorted list. Where folders give no test split,
        validation serves as test, as for LSUN.

    Raises:
        UserError: `how` does not fit the names.
    """
    if how == "auto":
        how = next(kind for kind in (*_BY_NAME, "hash") if kind == "hash" or _fits(names, kind))
    elif how in _BY_NAME and not _fits(names, how):
        stray = next(name for name in names if _BY_NAME[how](name) is None)
        raise UserError(
            f"split={how} cannot place '{stray}': expected {_EXPECTED[how]}; use split=hash"
        )
    if how == "hash":
        return _by_hash(names)
    result = {split: [] for split in NAMES}
    for name in sorted(names):
        result[_BY_NAME[how](name)].append(name)
    if how == "folders" and not result["test"]:
        result["test"] = result["validation"]
    return result


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


def _fits(names, how):
    return all(_BY_NAME[how](name) is not None for name in names)


def _hash(name):
    return (
        int.from_bytes(
            hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest(), "big"
        )
        / 2**64
    )


def _by_hash(names):
    """90% train, 5% validation, 5% test. A few images still give each split one."""
    ranked = sorted(names, key=lambda name: (_hash(name), name))
    if len(ranked) < len(NAMES):
        raise UserError(
            f"expected at least 3 images, one each to train, validate and test on, "
            f"and found {len(ranked)}"
        )
    validation = max(1, sum(_hash(name) < 0.05 for name in ranked))
    test = max(1, sum(0.05 <= _hash(name) < 0.10 for name in ranked))
    return {
        "validation": sorted(ranked[:validation]),
        "test": sorted(ranked[validation : validation + test]),
        "train": sorted(ranked[validation + test :]),
    }
