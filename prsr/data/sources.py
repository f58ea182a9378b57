"""Where images come from: one class a kind, opened by `KIND:WHERE`."""

import collections.abc
import contextlib
import functools
import gzip
import io
import itertools
import math
import pathlib
import threading
import urllib.error
import urllib.request
import zipfile

import numpy as np
from PIL import Image

from prsr.data import decoding, letters, listing, lsun, records, splits
from prsr.errors import UserError, first_line


def open_source(dataset, split, channels, root=""):
    """Opens a data set.

    Args:
        dataset: `KIND:WHERE`.
        split: how images are assigned, see `prsr.data.splits.assign`.
        channels: 1 or 3.
        root: from where they are hashed, see `prsr.data.splits.keys`.

    Returns:
        A source: `names(split)` is a sequence of a split's images, and
        `arrays(split, start, stop)` yields for each from `start` on, in that order, a
        function that returns it as uint8 `[height, width, channels]`, or raises `ValueError`
        or `OSError` if it cannot. `labels(split)` is a `[count]` int32 array of their classes.
        `made_with` has the settings that its images were made with before, and `check(data)`
        raises `UserError` where they contradict a model's. `digest(known)` says which image is in
        which split.

    Raises:
        UserError: it names nothing that can be opened.
    """
    kind, _, where = dataset.partition(":")
    kinds = {
        "drawn": _Drawn,
        "folder": _Folder,
        "zip": _Zip,
        "mnist": _MnistFiles,
        "tfds": _Tfds,
        "records": Records,
        "lmdb": _Lmdb,
    }
    if kind not in kinds:
        raise UserError(
            f"expected a data set of one of the kinds {', '.join(kinds)} (then :WHERE), and got "
            f"'{dataset}'"
        )
    if not where and kind != "drawn":
        raise UserError(f"data set '{kind}' needs a place: {kind}:WHERE")
    return kinds[kind](where, functools.partial(splits.assign, how=split, root=root), channels)


class _Source:
    """Images with names, read one by one, as they were taken."""

    made_with = {}
    splits = {}  # names by split, where images have names

    def check(self, data):
        pass

    def names(self, split):
        return self.splits[split]

    def arrays(self, split, start=0, stop=None):
        names = self.names(split)
        for number in range(start, len(names) if stop is None else stop):
            yield lambda name=names[number]: self.read(name)

    def digest(self, known=None):
        """`prsr.data.splits.Digest.of` its images, or None if they have no names of their own."""
        return splits.Digest.of(self.splits, known)

    def labels(self, split):
        raise UserError("these images have no labels; use mnist:DIR, a TFDS data set or drawn")


class _Numbered(collections.abc.Sequence):
    """Names of images that have none: a prefix and a number."""

    def __init__(self, prefix, digits, count):
        self.prefix, self.digits, self.count = prefix, digits, count

    def __len__(self):
        return self.count

    def __eq__(self, other):
        return isinstance(other, _Numbered) and vars(self) == vars(other)

    def __getitem__(self, index):
        numbers = range(self.count)[index]
        if isinstance(index, slice):
            return [self[number] for number in numbers]
        return f"{self.prefix}/{numbers:0{self.digits}d}"


class _Drawn(_Source):
    def __init__(self, where, assign, channels):
        if where and not (where.isdecimal() and len(where) < 9 and int(where) >= 3):
            raise UserError(
                f"drawn:COUNT expects a count of 3 or more, below 100 million, got '{where[:20]}'"
            )
        count = int(where or letters.DEFAULT_COUNT)
        self.channels = channels
        self.splits = splits.assign([f"{i:06d}" for i in range(count)], "hash")

    def read(self, name):
        return decoding.to_channels(letters.render(int(name)), self.channels)

    def labels(self, split):
        return np.array([letters.label(int(name)) for name in self.names(split)], np.int32)


class _Folder(_Source):
    def __init__(self, where, assign, channels):
        self.folder = pathlib.Path(where)
        if not self.folder.is_dir():
            raise UserError(f"expected a folder of images: no folder '{where}'")
        names = listing.targets(listing.find_images(self.folder), where)
        if not names:
            raise UserError(
                f"'{where}': no image there ({', '.join(listing.EXTENSIONS)}), at any depth"
            )
        self.channels = channels
        self.splits = assign(names)

    def read(self, name):
        return decoding.decode(self.folder / name, self.channels)


class _Zip(_Source):
    _MOST_BYTES = 256 * 2**20  # an image file larger than this, unpacked, is no image for us

    def __init__(self, where, assign, channels):
        # One file, or several with commas; a comma may also be part of a file's name.
        paths = [where] if pathlib.Path(where).is_file() else where.split(",")
        self.members = {}
        for path in paths:
            for name, member in self._open(path).items():
                if name in self.members:
                    raise UserError(f"'{where}': '{name}' is in two of the files")
                self.members[name] = member
        self.lock = threading.Lock()  # one file position for all readers
        self.channels = channels
        names = listing.targets(sorted(self.members), where)
        self.splits = assign(names)

    @classmethod
    def _open(cls, path):
        """The images of one zip: a dict from name to the open file and the entry in it."""
        if not pathlib.Path(path).is_file():
            raise UserError(f"expected a zip of images: no file '{path}'")
        try:
            archive = zipfile.ZipFile(path)
        except Exception as error:  # zipfile raises many kinds
            raise UserError(f"'{path}' is not a readable zip: {first_line(error)}") from error
        members = {cls._name(info): info for info in archive.infolist()}
        outside = next((n for n in members if listing.is_image(n) and _leads_out(n)), None)
        if outside is not None:
            raise UserError(f"'{path}': '{outside}' would lie outside of the zip; nothing is read")
        names = listing.images_among(members, path)
        if not names:
            raise UserError(f"'{path}': no image inside ({', '.join(listing.EXTENSIONS)})")
        return {name: (archive, members[name]) for name in names}

    @staticmethod
    def _name(info):
        """The path of an entry, whatever system wrote it."""
        name = info.filename
        if not info.flag_bits & 0x800:  # macOS writes UTF-8, and does not say so
            with contextlib.suppress(UnicodeError):
                name = name.encode("cp437").decode("utf-8")
        name = name.replace("\\", "/")  # Windows
        while name.startswith("./"):
            name = name[2:]
        return name

    def read(self, name):
        archive, info = self.members[name]
        if info.file_size > self._MOST_BYTES:
            raise ValueError("unpacks to more than 256 MiB")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("is neither stored nor deflated")
        try:
            with self.lock, archive.open(info) as file:
                content = file.read(info.file_size + 1)  # read() alone inflates whatever there is
        except Exception as error:  # zlib, encryption, unknown methods, wrong checksums
            raise ValueError(f"cannot be unpacked: {error}") from error
        return decoding.decode(io.BytesIO(content), self.channels)


def _leads_out(name):
    windows = pathlib.PureWindowsPath(name)  # knows both slashes, and drives
    return bool(windows.anchor) or ".." in windows.parts


class _MnistFiles(_Source):
    """MNIST's four idx files, gzipped or not. Validation is the last 5% of training."""

    _MOST_BYTES = 2**30  # MNIST has 47 million, EMNIST 547

    def __init__(self, where, assign, channels):
        self.folder, self.channels = pathlib.Path(where), channels
        self.digits = {part: self._read(part, "images-idx3", 2051) for part in ("train", "t10k")}
        train = [f"train/{i:05d}" for i in range(len(self.digits["train"]))]
        kept = len(train) * 95 // 100
        self.splits = {
            "train": train[:kept],
            "validation": train[kept:],
            "test": [f"t10k/{i:05d}" for i in range(len(self.digits["t10k"]))],
        }

    def read(self, name):
        part, index = name.split("/")
        return decoding.to_channels(Image.fromarray(self.digits[part][int(index)]), self.channels)

    def labels(self, split):
        part = "t10k" if split == "test" else "train"
        labels = self._read(part, "labels-idx1", magic=2049)
        if len(labels) != len(self.digits[part]):
            raise UserError(
                f"'{self.folder}': {len(labels)} labels for {len(self.digits[part])} {part} images"
            )
        return labels[[int(name.split("/")[1]) for name in self.names(split)]].astype(np.int32)

    def _read(self, part, what, magic):
        """The array of an idx file."""
        stem = self.folder / f"{part}-{what}-ubyte"
        path = next((p for p in (stem, stem.with_name(stem.name + ".gz")) if p.is_file()), None)
        if path is None:
            raise UserError(f"MNIST expects {stem.name}[.gz] in '{self.folder}'")
        try:
            with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
                found, *shape = np.frombuffer(file.read(4 * (magic % 256 + 1)), ">i4").tolist()
                if found != magic or shape[0] < 20 or min(shape) < 1:
                    raise ValueError(f"magic number {found}, {shape} entries")
                size = math.prod(shape)
                if size > self._MOST_BYTES:
                    raise ValueError(f"{size:,} bytes")
                content = file.read(size + 1)  # and no more: a small gzip may be a bomb
            return np.frombuffer(content, np.uint8).reshape(shape)
        except Exception as error:  # gzip, zlib and NumPy raise many kinds
            raise UserError(
                f"'{path}' is not the idx file of MNIST that its name says: {first_line(error)}"
            ) from error


class Records(_Source):
    """Files of `prsr.data.records`. Where there are none to test with, validation's serve."""

    def __init__(self, where, assign, channels):
        self.folder, self.channels = where, channels
        self.made_with = records.made_with(where)
        self._files = {}

    def files(self, split):
        """The `Records` of a split."""
        split = self._stored(split)
        if split not in self._files:
            self._files[split] = records.Records(self.folder, split, self.channels)
        return self._files[split]

    def _stored(self, split):
        if split == "test" and not records.exist(self.folder, split):
            return "validation"
        return split

    def check(self, data):
        """Refuses records that were cut or reduced otherwise than a model expects.

        Args:
            data: `prsr.hparams.DataHparams`. The crop `"center"` takes any.

        Raises:
            UserError: names the setting.
        """
        for name in ("crop", "image_size"):
            made, wanted = self.made_with.get(name), getattr(data, name)
            if made not in (None, wanted) and wanted != "center":
                raise UserError(
                    f"the records in '{self.folder}' were made with {name}={made}, and this needs "
                    f"{name}={wanted}; make others with prsr.prepare"
                )

    def fits(self, split, data):
        """Whether the records are the images that `prsr.hparams.DataHparams` asks for."""
        wanted = (data.image_size, "downsampled", 256)
        return (self.files(split).size, data.pairs, data.levels) == wanted

    def digest(self, known=None):
        path = pathlib.Path(self.folder) / records.SPLITS
        return (splits.Digest.load(path), {}) if path.is_file() else None

    def names(self, split):
        return _Numbered(self._stored(split), 8, len(self.files(split)))

    def arrays(self, split, start=0, stop=None):
        blocks = self.files(split).blocks(1024, start).as_numpy_iterator()
        images = (image for block in blocks for image in block)
        for image in itertools.islice(images, None if stop is None else stop - start):
            yield lambda image=image: image


class _Lmdb(_Source):
    """LSUN's databases, or any LMDB of image files."""

    def __init__(self, where, assign, channels):
        self.channels = channels
        paths = lsun.databases(where)
        self.is_one = "all" in paths
        opened = {path: lsun.Database(path) for path in set(paths.values())}
        self.databases = {split: opened[path] for split, path in paths.items()}
        self.splits = {split: database.keys for split, database in self.databases.items()}
        if self.is_one:
            database = self.databases["all"]
            self.databases = dict.fromkeys(splits.NAMES, database)
            self.splits = assign(list(database.keys))

    def digest(self, known=None):
        return super().digest(known) if self.is_one else None

    def arrays(self, split, start=0, stop=None):
        names, database = self.names(split), self.databases[split]
        for number in range(start, len(names) if stop is None else stop):
            yield lambda name=names[number]: decoding.decode(
                io.BytesIO(database.read(name)), self.channels
            )


class _Tfds(_Source):
    """A TFDS data set with an `image` feature; its official splits where it has them."""

    def __init__(self, where, assign, channels):
        self.channels = channels
        name, _, option = where.partition(",")
        if option not in ("", "download"):
            raise UserError(f"tfds:NAME[,download] has no option '{option}'")
        try:
            with _silenced():  # it warns about every optional package it does without
                import tensorflow_datasets as tfds
            self.builder = tfds.builder(name)
            self.skip_decoding = tfds.decode.SkipDecoding()
        except Exception as error:
            raise UserError(f"TFDS has no data set '{name}' ({first_line(error)})") from error
        if "image" not in self.builder.info.features:
            found = ", ".join(self.builder.info.features)
            raise UserError(f"TFDS data set '{name}' has no feature 'image', only {found}")
        if not pathlib.Path(self.builder.data_path).is_dir():
            self._prepare(name, option)
        self.instructions = self._instructions(self.builder.info.splits)

    def digest(self, known=None):
        return None

    def names(self, split):
        count = self.builder.info.splits[self.instructions[split]].num_examples
        return _Numbered(self.instructions[split], 6, count)

    def arrays(self, split, start=0, stop=None):
        encoded = self.builder.as_dataset(
            split=self.instructions[split],
            shuffle_files=False,
            decoders={"image": self.skip_decoding},
        )
        feature = self.builder.info.features["image"]
        count = -1 if stop is None else stop - start
        examples = encoded.skip(start).take(count)
        examples = examples.map(
            lambda example: feature.decode_example(example["image"]), num_parallel_calls=-1
        )
        for example in examples.as_numpy_iterator():
            image = Image.fromarray(example.squeeze(-1) if example.shape[-1] == 1 else example)
            yield lambda image=image: decoding.to_channels(image, self.channels)

    def labels(self, split):
        if "label" not in self.builder.info.features:
            return super().labels(split)
        decoders = {"image": self.skip_decoding}
        examples = self.builder.as_dataset(
            split=self.instructions[split], shuffle_files=False, decoders=decoders
        )
        return np.array([e["label"] for e in examples.as_numpy_iterator()], np.int32)

    def _prepare(self, name, option):
        missing = f"TFDS data set '{name}' is not prepared in {self.builder.data_path}"
        if option != "download":
            raise UserError(f"{missing}; to download it, use tfds:{name},download")
        by_hand = _BY_HAND.get(name.partition("/")[0].partition(":")[0], "")
        try:
            with contextlib.suppress(urllib.error.HTTPError):  # an answer, whatever it says
                urllib.request.urlopen("https://storage.googleapis.com", timeout=10).close()
        except OSError as error:
            raise UserError(
                f"{missing}, and what it is made of cannot be fetched ({first_line(error)}); "
                f"prepare it on a machine that is online, and copy that folder here{by_hand}"
            ) from error
        try:
            self.builder.download_and_prepare()
        except Exception as error:
            raise UserError(
                f"TFDS could not prepare '{name}': {first_line(error)}{by_hand}"
            ) from error

    @staticmethod
    def _instructions(available):
        if "validation" in available:
            test = "test" if "test" in available else "validation"
            return {"train": "train", "validation": "validation", "test": test}
        if "test" in available:
            return {"train": "train[:95%]", "validation": "train[95%:]", "test": "test"}
        return {"train": "train[:90%]", "validation": "train[90%:95%]", "test": "train[95%:]"}


# Google Drive, where TFDS fetches them from, sends another page after many downloads of a day.
_BY_HAND = {
    "celeb_a": "; or get img_align_celeba.zip from CelebA's authors (their Google Drive or Baidu "
    "Drive), and go on with dataset=zip:img_align_celeba.zip: the same images and splits"
}


@contextlib.contextmanager
def _silenced():
    with contextlib.redirect_stderr(io.StringIO()):
        yield
