"""Stores the images of every method for a test set, so that an evaluation can be resumed.

The output directory holds:

images/METHOD/00000.npy   256 images each (of the search all), uint8 [count, size, size,
                          channels], with first.png, to look at some, and made_by.json, what
                          they depend on; METHOD is also `input` and `truth` (the originals)
names.json                the test images' names, in the same order
scores.csv                every image's metrics and nats
table1.md, .csv, .json    means and standard errors, beside the paper's
"""

import hashlib
import json
import pathlib

import numpy as np

from prsr import images, plotting
from prsr.system import files, progress
from prsr.system.errors import UserError, first_line

CHUNK = 256  # images per file


class Evaluation:
    """A directory with the images of several methods for one test set.

    Args:
        path: `pathlib.Path` of the directory, made if needed.
        names: names of the test images.
        low_res: `[count, low size, low size, channels]` uint8.
        high_res: `[count, size, size, channels]` uint8, the originals.

    Raises:
        UserError: the directory holds another test set, or is not writable.
    """

    def __init__(self, path, names, low_res, high_res):
        self.path, self.names = path, names
        self.low_res, self.high_res = low_res, high_res
        digest = hashlib.sha256(low_res.tobytes() + high_res.tobytes()).hexdigest()
        self._test_set = {"test_images": len(names), "test_images_sha256": digest}
        self._keep("input", {}, CHUNK, low_res, np.asarray)
        self._keep("truth", {}, CHUNK, high_res, np.asarray)
        files.write_text(path / "names.json", json.dumps(names, indent=0) + "\n")

    def check(self, methods):
        """Raises `UserError` for methods that cannot be stored here, before any image is drawn."""
        keys = [method.key for method in methods]
        for method in methods:
            if keys.count(method.key) > 1:
                raise UserError(
                    f"'{method.key}' is listed twice among the taus and baselines; list it once, "
                    f"and evaluate other runs of the same kind in another folder"
                )
            self._claim(method.key, method.made_by, method.chunk or len(self.names))

    def images(self, method):
        """Returns a method's images, `[count, size, size, channels]` uint8, drawn or read."""
        chunk = method.chunk or len(self.names)
        bar = progress.Progress(method.title, len(self.names))
        return self._keep(method.key, method.made_by, chunk, self.low_res, method.predict, bar)

    def _keep(self, key, made_by, chunk, inputs, function, bar=None):
        """Returns `function(inputs)`, computed and written in chunks, or read."""
        folder = self._claim(key, made_by, chunk)
        count, parts = len(self.names), []
        for start in range(0, count, chunk):
            stop = min(start + chunk, count)
            path = folder / f"{start // chunk:05d}.npy"
            if not path.exists():
                made = function(inputs[start:stop])
                with files.replacing(path) as partial:
                    np.save(partial, made)
                if bar:
                    bar.update(stop)
            parts.append(_load_result(path))
        pictures = np.concatenate(parts)
        if not (folder / "first.png").exists():
            rows = [list(pictures[i : i + 8]) for i in range(0, min(count, 32), 8)]
            images.save(plotting.sheet(rows, [""] * 8), folder / "first.png")
        return pictures

    def _claim(self, key, made_by, chunk):
        """Returns the folder of a method, with a file that says what its images depend on."""
        folder = self.path / "images" / key
        made_by = {**self._test_set, **made_by, "images_a_file": chunk}
        note = folder / "made_by.json"
        try:
            if not any(folder.glob("*")):
                files.write_text(note, json.dumps(made_by, indent=2) + "\n")
            same = json.loads(note.read_text("utf-8")) == made_by
        except (OSError, ValueError) as error:
            raise UserError(
                f"cannot use '{folder}' ({first_line(error)}); choose another folder"
            ) from error
        if not same:
            raise UserError(
                f"'{folder}' holds images made with other weights, settings or test images; delete "
                f"'{self.path}', or choose another folder to write to"
            )
        return folder


def read(path):
    """Reads a finished evaluation's folder: the dict of `table1.json`, and the images' names.

    Raises `UserError` if there is no report, or it is damaged.
    """
    try:
        report = json.loads((path / "table1.json").read_text("utf-8"))
        if (path / "names.json").exists():
            names = json.loads((path / "names.json").read_text("utf-8"))
        else:  # of earlier versions
            names = (path / "names.txt").read_text("utf-8").split("\n")[:-1]
    except FileNotFoundError as error:
        raise UserError(
            f"'{path}' does not hold a finished evaluation; make one with "
            f"python -m prsr.evaluate --workdir=RUN --output={path}"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}' is damaged ({first_line(error)}); evaluate again") from error
    return report, names


def read_images(path, key, count):
    """Reads a method's images, `[count, size, size, channels]` uint8, from an evaluation's folder.

    `key` is the method's, or `"input"` or `"truth"`. Raises `UserError` if there are no `count`.
    """
    parts = sorted((path / "images" / key).glob("*.npy"))
    pictures = [_load_result(part) for part in parts]
    if sum(map(len, pictures)) != count:
        raise UserError(
            f"'{path / 'images' / key}' holds {sum(map(len, pictures))} of {count} images; finish "
            f"the evaluation"
        )
    return np.concatenate(pictures)


def _load_result(path):
    try:
        return np.load(path)
    except Exception as error:  # NumPy raises many kinds on damaged files
        raise UserError(f"'{path}' is damaged ({first_line(error)}); delete it") from error


def read_people(path, names):
    """Reads who is in each image from lines `NAME PERSON`, such as CelebA's `identity_CelebA.txt`.

    Names count without folder and extension. Someone else is in each image that is not named.

    Returns:
        `(people, independent)`: `[count]` strings for `tables.summary`, and a text for the table.

    Raises:
        UserError: the file is unreadable, or names none of the images.
    """
    try:
        lines = map(str.split, pathlib.Path(path).read_text("utf-8").splitlines())
        person_of = {pathlib.PurePosixPath(name).stem: f"person {who}" for name, who in lines}
    except (OSError, ValueError) as error:
        raise UserError(
            f"--people={path} expects lines NAME PERSON, one per image ({first_line(error)})"
        ) from error
    stems = [pathlib.PurePosixPath(name).stem for name in names]
    known = [person_of[stem] for stem in stems if stem in person_of]
    if not known:
        raise UserError(f"--people={path} names none of the test images, such as '{names[0]}'")
    independent = (
        f"people ({len(set(known))} in {len(known)} images; any other image counts as one)"
    )
    return [person_of.get(stem, stem) for stem in stems], independent
