"""Which files below a folder, or in a zip, are images."""

import collections
import mimetypes
import os
import pathlib
import re

from PIL import features

from prsr import progress
from prsr.errors import UserError

_AVIF = (".avif",) if "avif" in features.get_supported() else ()  # since Pillow 11.3
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".mpo"),
    *(".png", ".apng", ".webp", ".bmp", ".gif", *_AVIF),
)

# What systems, disks and editors keep beside one's files. Hidden ones begin with a dot.
_NOT_ONES_OWN = {
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "#recycle", "#snapshot"),
    *("$recycle.bin", "system volume information", "lost+found", "__macosx", "__pycache__"),
    *("found.000", "thumbs.db", "desktop.ini"),
}
# Pictures that Python's table of types does not know.
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
    """The image files below a folder, by their endings.

    Links are followed, and each folder is read once. Hidden files and folders, and what systems
    put beside one's files, are not looked at. What else is passed over is counted and named on
    standard error.

    Args:
        folder: path.

    Returns:
        A sorted list of relative paths with forward slashes.
    """
    folder = pathlib.Path(folder)
    found, passed, links, seen = [], [], [""], set()
    while links:  # of two ways to a folder, the one without a link counts
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
                    passed.append((name, "a link that leads nowhere"))
                elif kind == "file" and is_image(name):
                    found.append(name)
                elif kind == "file" and _is_other_image(name):
                    passed.append((name, None))
    _tell(folder, passed)
    return sorted(found)


def _kind(entry):
    """What an `os.DirEntry` is: a folder, a file, a link to nothing, or something else."""
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
    """The images among the names in an archive, as `find_images` would find them.

    Args:
        names: relative paths with forward slashes.
        where: what the archive is called.

    Returns:
        A list, in the order of `names`.
    """
    own = [name for name in names if all(map(is_ones_own, name.split("/")))]
    _tell(where, [(name, None) for name in own if _is_other_image(name) and not is_image(name)])
    return [name for name in own if is_image(name)]


def is_ones_own(part):
    """Whether a file or folder of this name is not hidden, nor a system's or an editor's."""
    return not part.startswith(".") and part.lower() not in _NOT_ONES_OWN


def is_image(name):
    """Whether a file's name ends as those of images that are read."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def _is_other_image(name):
    ending = os.path.splitext(name)[1].lower()
    kind = mimetypes.types_map.get(ending, "")
    return ending in _OTHER_IMAGES or kind.startswith("image/")


def _tell(where, passed, most=5):
    if not passed:
        return
    kinds = collections.Counter(
        reason or f"{os.path.splitext(name)[1].lower()} is not read" for name, reason in passed
    )
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in kinds.most_common())
    named = ", ".join(f"'{name}'" for name, _ in passed[:most])
    more = f" and {len(passed) - most:,} more" if len(passed) > most else ""
    progress.say_once(f"'{where}': passed over {len(passed):,} ({reasons}): {named}{more}")


def targets(names, where):
    """The images to learn, where others lie beside them that were made from them.

    Known are the sets of SR3's `prepare_data.py` (`hr_32`, `lr_8`, and `sr_8_32`, which is
    blurred), in folders or in one database, and databases of each picture in several sizes.

    Args:
        names: a sequence of names, as of files or of a database's keys.
        where: what the set is called.

    Returns:
        `names`, or a list of some of them. Which, is said on standard error.
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
                f"'{where}': {best} is taken, and not {others}, the same at other sizes"
            )
            matched = {name for kind in kinds.values() for name in kind}
            unlike = [name for name in names if name not in matched and is_image(name)]
            return sorted([*kinds[best], *unlike])
    return names
