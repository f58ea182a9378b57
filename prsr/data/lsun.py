"""Reads LSUN's databases and similar ones: LMDB files whose values are image files."""

import collections.abc
import pathlib
import re
import weakref

import numpy as np

from prsr.data import listing
from prsr.system.errors import UserError, first_line

_SPLITS = {"train": "train", "val": "validation", "test": "test"}


class Keys(collections.abc.Sequence):
    """The keys of a database as names, stored compactly: three million take 150 MB."""

    def __init__(self, keys):
        joined, ends = bytearray(), [0]
        for key in keys:
            joined += key
            ends.append(len(joined))
        self._joined, self._ends = bytes(joined), np.array(ends)

    def __len__(self):
        return len(self._ends) - 1

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        key = self._joined[self._ends[index] : self._ends[index + 1]]
        return key.decode(errors="surrogateescape")


def databases(where):
    """Finds the databases in a folder.

    Args:
        where: a database, or a folder with one for training and one for validation, named as in
            LSUN (`bedroom_train_lmdb` and `bedroom_val_lmdb`).

    Returns:
        A dict from a split's name to the path of its database. A single database has the key
        `"all"`; its images still need to be split.

    Raises:
        UserError: there are no databases, or several for one split.
    """
    folder = pathlib.Path(where)
    if (folder / "data.mdb").is_file() or folder.is_file():
        return {"all": folder}
    found = {}
    for path in sorted(folder.glob("*/data.mdb")):
        for word in re.split(r"[_\W]", path.parent.name.lower()):
            if word in _SPLITS:
                found.setdefault(_SPLITS[word], []).append(path.parent)
    several = next((paths for paths in found.values() if len(paths) > 1), None)
    if several:
        raise UserError(
            f"'{where}': '{several[0].name}' and '{several[1].name}' are for the "
            f"same split; put the two databases of one category in their own folder"
        )
    if "train" not in found or "validation" not in found:
        raise UserError(
            f"'{where}' has no LMDB database; expected LSUN's NAME_train_lmdb and NAME_val_lmdb, "
            f"or a data.mdb"
        )
    result = {split: paths[0] for split, paths in found.items()}
    return {"test": result["validation"], **result}


_opened = weakref.WeakValueDictionary()  # LMDB opens a database only once in a process


def database(path):
    """Opens a database, a file or the folder with its `data.mdb`, or returns the one that is open.

    Raises `UserError` if it cannot be opened, or the package lmdb is not installed.
    """
    file = path if path.is_file() else path / "data.mdb"
    status = file.stat()
    key = status.st_dev, status.st_ino
    if (found := _opened.get(key)) is None:
        found = _opened[key] = Database(path, file)
    return found


class Database:
    """One LMDB file, opened for reading; use `database` to open it.

    Args:
        path: `pathlib.Path` of the file, or of its folder.
        file: `pathlib.Path` of the file.

    Attributes:
        keys: a sequence of the names of all images.
    """

    def __init__(self, path, file):
        try:
            import lmdb  # an extra
        except ImportError as error:
            raise UserError(
                f"LMDB databases need {error.name}: pip install -e '.[lsun]', or lmdb"
            ) from error
        self._error = lmdb.Error
        try:
            self._environment = lmdb.open(
                str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False
            )
            pages = self._environment.info()["last_pgno"] + 1
            if file.stat().st_size < pages * self._environment.stat()["psize"]:
                self._environment.close()
                raise ValueError("it is truncated")  # reading further would crash the process
            with self._environment.begin() as transaction:
                cursor = transaction.cursor()
                self.keys = Keys(cursor.iternext(keys=True, values=False))
                if transaction.get(b"length") is not None:  # the count that SR3 and others write
                    self.keys = listing.targets([key for key in self.keys if key != "length"], path)
        except (lmdb.Error, OSError, ValueError) as error:
            raise UserError(
                f"cannot read '{file}' as an LMDB database: {first_line(error)}"
            ) from error

    def read(self, name):
        """Returns the bytes of an image file, or raises `ValueError`."""
        try:
            with self._environment.begin() as transaction:
                value = transaction.get(name.encode(errors="surrogateescape"))
        except self._error as error:
            raise ValueError(first_line(error)) from error
        if value is None:
            raise ValueError("not in the database")
        return value
