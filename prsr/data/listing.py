"""Finds the image files in a folder or a zip."""

import collections
import os
import pathlib
import re

from PIL import features

from prsr.system import progress
from prsr.system.errors import UserError

_AVIF = (".avif",) if "avif" in features.get_supported() else ()  # since Pillow 11.3
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".mpo"),
    *(".png", ".apng", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".hif", *_AVIF),
)

# Files and folders of operating systems, disks and editors. Hidden ones start with a dot.
_SYSTEM_FILES = {
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "#recycle", "#snapshot"),
    *("$recycle.bin", "system volume information", "lost+found", "__macosx", "__pycache__"),
    *("found.000", "thumbs.db", "desktop.ini"),
}
# SR3's prepare_data.py: hr_128, lr_16 and sr_16_128 (lr_16 enlarged), as folders or before keys.
_SR3 = re.compile(r"(?:.*/)?(hr_\d+|lr_\d+|sr_\d+_\d+)[_/]\d+(?:\.\w+)?")
_SIZES = re.compile(r"(\d+)-\d{5,}")  # the keys of StyleGAN2-PyTorch's databases
_REDUCED = {"lr", "lq", "lowres"}  # words in the names of folders, such as DIV2K's
_COPY = re.compile(r"(?<![a-z])lr(x?\d+)?(?![a-z])|(?<=\d)x[2348](?=\.\w+$)")  # or 0001x4.png


def find_images(folder):
    """Finds the image files in a folder, at any depth, by their extensions.

    It follows links and reads each folder once. Hidden files and system files are ignored, and
    other files are counted on standard error. Returns a sorted list of relative paths with forward
    slashes.
    """
    folder = pathlib.Path(folder)
    found, skipped, seen, waiting = [], collections.Counter(), set(), collections.deque([""])
    while waiting:
        inside = waiting.popleft()
        try:
            status = os.stat(folder / inside)
            if (status.st_dev, status.st_ino) in seen:
                skipped[f"'{inside}', read already"] += 1
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = list(os.scandir(folder / inside))
        except OSError as error:
            if not inside:
                raise UserError(f"'{folder}' cannot be read: {error.strerror}") from error
            skipped[f"'{inside}', {error.strerror}"] += 1
            continue
        for entry in filter(lambda entry: is_user_file(entry.name), entries):
            name = f"{inside}/{entry.name}" if inside else entry.name
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a link to itself
                is_folder = is_file = False
            if is_folder:  # links last: a folder that is also reachable without gets that path
                (waiting.append if entry.is_symlink() else waiting.appendleft)(name)
            elif is_file and is_image(name):
                found.append(name)
            elif is_file:
                skipped[_extension(name) or "no extension"] += 1
            else:
                skipped[f"'{name}', a broken link or no file"] += 1
    _tell_others(folder, skipped)
    return sorted(found)


def images_among(names, where):
    """Returns the images among an archive's relative paths, by the rules of `find_images`."""
    names = [name for name in names if all(map(is_user_file, name.split("/")))]
    others = (name for name in names if not is_image(name) and not name.endswith("/"))
    _tell_others(where, collections.Counter(_extension(name) or "no extension" for name in others))
    return [name for name in names if is_image(name)]


def is_user_file(name):
    """Whether a file or folder is the user's: not hidden, nor a system's or an editor's."""
    return not name.startswith(".") and name.lower() not in _SYSTEM_FILES


def words(name):
    """Returns the words of a name: div, k, train and hr of "DIV2K_trainHR"."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}


def is_image(name):
    """Whether a file's extension is that of a readable image."""
    return _extension(name) in EXTENSIONS


def _extension(name):
    return os.path.splitext(name)[1].lower()


def _tell_others(where, skipped, most=10):
    """Prints how many files were skipped of each kind."""
    if skipped:
        kinds = ", ".join(f"{kind}: {count:,}" for kind, count in skipped.most_common(most))
        more = ", ..." if len(skipped) > most else ""
        progress.say_once(f"'{where}': skipped {skipped.total():,} other files ({kinds}{more})")


def _original(name):
    """Returns which file this one is a reduced copy of by its name, in small letters, or None."""
    original, changes = _COPY.subn(lambda m: "hr" if "lr" in m[0] else "", name.lower())
    return original if changes else None


def targets(names, where):
    """Selects the largest images of a set that also contains resized copies of them.

    It recognises the sets of SR3's `prepare_data.py` (`hr_32`, `lr_8`, and the blurred `sr_8_32`),
    as folders or one database, databases that hold each picture in several sizes, folders with LR
    in their names, as in DIV2K, and pairs such as `a_HR.png` and `a_LR.png`. Its choice is printed
    to standard error; `where` is the set's name there.
    """
    for pattern, chosen in ((_SR3, "hr_"), (_SIZES, "")):
        kinds = collections.defaultdict(list)
        for match in filter(None, map(pattern.fullmatch, names)):
            kinds[match[1]].append(match[0])
        good = [kind for kind in kinds if kind.startswith(chosen)]
        if good and len(kinds) > 1:
            best = max(good, key=lambda kind: int(kind.removeprefix(chosen)))
            others = ", ".join(sorted(kinds.keys() - {best}))
            progress.say_once(
                f"'{where}': using {best}, not {others} (the same images at other sizes)"
            )
            matched = {name for kind in kinds.values() for name in kind}
            unlike = [name for name in names if name not in matched and is_image(name)]
            return sorted([*kinds[best], *unlike])
    lower = {name.lower() for name in names}
    reduced = [
        name
        for name in names
        if _REDUCED & words(name.rpartition("/")[0]) or _original(name) in lower
    ]
    if not 0 < len(reduced) < len(names):
        return names
    progress.say_once(
        f"'{where}': left out {len(reduced):,} reduced copies (LR), such as '{reduced[0]}'"
    )
    return sorted(set(names) - set(reduced))
