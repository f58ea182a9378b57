"""Reads LSUN's databases and similar ones: LMDB files whose values are image files."""

import pathlib
import weakref

from prsr.data import listing, splits
from prsr.system.errors import UserError, first_line


def databases(where):
    """Returns a dict from a split's name to its database in the folder `where`.

    They are named as in LSUN (`bedroom_train_lmdb`, `bedroom_val_lmdb`). If `where` is a database
    itself, its key is `"all"`. Raises `UserError` without databases, or with several for one split.
    """
    folder = pathlib.Path(where)
    if (folder / "data.mdb").is_file() or folder.is_file():
        return {"all": folder}
    found = {}
    for path in sorted(folder.glob("*/data.mdb")):
        if split := splits.of_folder(path.parent.name):
            found.setdefault(split, []).append(path.parent)
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
    """One LMDB file, opened by `database`; `keys` is a list of the names of all images."""

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
                keys = transaction.cursor().iternext(keys=True, values=False)
                self.keys = [key.decode(errors="surrogateescape") for key in keys]
            if "length" in self.keys:  # the count that SR3 and others write
                self.keys.remove("length")
                self.keys = listing.targets(self.keys, path)
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
