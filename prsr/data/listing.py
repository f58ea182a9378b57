"""Finds the image files in a folder or a zip."""

import collections
import mimetypes
import os
import pathlib
import re

from PIL import features

from prsr.system import progress
from prsr.system.errors import UserError

_AVIF = (".avif",) if "avif" in features.get_supported() else ()  # since Pillow 11.3
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".mpo"),
    *(".png", ".apng", ".webp", ".bmp", ".gif", *_AVIF),
)

# Files and folders of operating systems, disks and editors. Hidden ones start with a dot.
_NOT_ONES_OWN = {
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "#recycle", "#snapshot"),
    *("$recycle.bin", "system volume information", "lost+found", "__macosx", "__pycache__"),
    *("found.000", "thumbs.db", "desktop.ini"),
}
# Image types that Python's `mimetypes` does not know.
_OTHER_IMAGES = {
    *(".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".jpx", ".jpf", ".psd", ".xcf"),
    *(".exr", ".hdr", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2"),
    *(".raf", ".orf", ".rw2", ".pef", ".srw", ".x3f", ".raw", ".rwl", ".3fr", ".iiq", ".eps"),
    *(".ai", ".tga", ".pcx", ".dds", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".qoi"),
    *(".jng", ".mng", ".wmf", ".emf", ".dcm", ".fits", ".icns", ".ico", ".svg", ".svgz", ".tif"),
    ".tiff",
}
# SR3's prepare_data.py: hr_128, lr_16 and sr_16_128 (lr_16 enlarged), as folders or before keys.
_SR3 = re.compile(r"(?:.*/)?(hr_\d+|lr_\d+|sr_\d+_\d+)[_/]\d+(?:\.\w+)?")
_SIZES = re.compile(r"(\d+)-\d{5,}")  # the keys of StyleGAN2-PyTorch's databases


def find_images(folder):
    """Finds the image files in a folder, at any depth, by their extensions.

    It follows links and reads each folder once. Hidden files and system files are ignored. Other
    images that cannot be read are counted and named on standard error.

    Args:
        folder: path.

    Returns:
        A sorted list of relative paths with forward slashes.
    """
    folder = pathlib.Path(folder)
    found, passed, links, seen = [], [], [""], set()
    while links:  # last, so that a folder also reachable without a link gets that path
        begin = links.pop(0)
        waiting = [begin]
        while waiting:
            inside = waiting.pop()
            try:
                if not _first_time(folder / inside, seen):
                    if inside == begin:
                        passed.append((begin, "a link to a folder that is read already"))
                    continue
                entries = sorted(os.scandir(folder / inside), key=lambda entry: entry.name)
            except OSError as error:
                if inside == "":
                    raise UserError(f"'{folder}' cannot be read: {error.strerror}") from error
                passed.append((inside, error.strerror))
                continue
            for entry in entries:
                name = f"{inside}/{entry.name}" if inside else entry.name
                if not is_ones_own(entry.name):
                    continue
                kind = _kind(entry)
                if kind == "folder":
                    (links if entry.is_symlink() else waiting).append(name)
                elif kind == "nothing":
                    passed.append((name, "broken link"))
                elif kind == "file" and is_image(name):
                    found.append(name)
                elif kind == "file" and _is_other_image(name):
                    passed.append((name, None))
    _tell(folder, passed)
    return sorted(found)


def _kind(entry):
    """Returns the kind of an `os.DirEntry`; "nothing" is a broken link."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:  # a link to itself, say
        return "nothing"
    return "nothing" if entry.is_symlink() else "other"


def _first_time(path, seen):
    status = os.stat(path)
    before = len(seen)
    seen.add((status.st_dev, status.st_ino))
    return len(seen) > before


def images_among(names, where):
    """Returns the images among the names in an archive, by the rules of `find_images`.

    Args:
        names: relative paths with forward slashes.
        where: name of the archive, for messages.

    Returns:
        A list, in the order of `names`.
    """
    own = [name for name in names if all(map(is_ones_own, name.split("/")))]
    _tell(where, [(name, None) for name in own if _is_other_image(name) and not is_image(name)])
    return [name for name in own if is_image(name)]


def is_ones_own(part):
    """Whether a file or folder is the user's own: not hidden, nor a system's or an editor's."""
    return not part.startswith(".") and part.lower() not in _NOT_ONES_OWN


def is_image(name):
    """Whether a file's extension is that of a readable image."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def _is_other_image(name):
    ending = os.path.splitext(name)[1].lower()
    kind = mimetypes.types_map.get(ending, "")
    return ending in _OTHER_IMAGES or kind.startswith("image/")


def _tell(where, passed, most=5):
    if not passed:
        return
    kinds = collections.Counter(
        reason or f"unsupported {os.path.splitext(name)[1].lower()}" for name, reason in passed
    )
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in kinds.most_common())
    named = ", ".join(f"'{name}'" for name, _ in passed[:most])
    more = f" and {len(passed) - most:,} more" if len(passed) > most else ""
    progress.say_once(f"'{where}': skipped {len(passed):,} ({reasons}): {named}{more}")


def targets(names, where):
    """Selects the largest images of a set that also contains resized copies of them.

    It recognises the sets of SR3's `prepare_data.py` (`hr_32`, `lr_8`, and the blurred `sr_8_32`),
    as folders or one database, and databases that hold each picture in several sizes.

    Args:
        names: a sequence of names, such as files or a database's keys.
        where: name of the set, for messages.

    Returns:
        `names`, or a list of some of them. The choice is printed to standard error.
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
    return names
