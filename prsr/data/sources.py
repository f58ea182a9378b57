"""Opens data sets by `KIND:WHERE`, with one class for each kind of source."""

import contextlib
import functools
import gzip
import io
import itertools
import pathlib
import threading
import urllib.error
import urllib.request
import zipfile

import numpy as np
from PIL import Image

from prsr.data import decoding, letters, listing, lsun, preprocessing, records, splits
from prsr.system import files, progress
from prsr.system.errors import UserError, first_line


def open_source(dataset, split, channels):
    """Opens a data set.

    Args:
        dataset: `KIND:WHERE`.
        split: how to split the images, see `prsr.data.splits.assign`.
        channels: 1 or 3.

    Returns:
        A `Source`.

    Raises:
        UserError: the data set cannot be opened.
    """
    kind, _, where = dataset.partition(":")
    kinds = {
        "drawn": _DrawnSource,
        "folder": _FolderSource,
        "zip": _ZipSource,
        "mnist": _MnistSource,
        "tfds": _TfdsSource,
        "records": _RecordsSource,
        "lmdb": _LmdbSource,
    }
    if kind not in kinds:
        meant = f"; did you mean folder:{dataset}?" if pathlib.Path(dataset).is_dir() else ""
        raise UserError(
            f"expected a data set KIND:WHERE, where KIND is one of {', '.join(kinds)}; got "
            f"'{dataset}'{meant}"
        )
    if not where and kind != "drawn":
        raise UserError(f"data set '{kind}' needs a location: {kind}:WHERE")
    return kinds[kind](where, split, channels)


class Source:
    """An opened data set; a base class for images with names, read one by one.

    Args:
        where: its place.
        split: as for `open_source`.
        channels: 1 or 3.

    Attributes:
        channels: 1 or 3.
        splits: a dict from a split to the names of its images; empty if images have no names.
        made_with: the settings with which the images were already processed.
    """

    made_with = {}
    splits = {}

    def __init__(self, where, split, channels):
        self.channels = channels

    def check(self, data):
        """Raises `UserError` if `made_with` contradicts a model's `prsr.hparams.DataHparams`."""

    def names(self, split):
        """Returns the sequence of a split's image names."""
        return self.splits[split]

    def arrays(self, split, start=0, stop=None):
        """Yields a function for each image of a range, in order.

        It returns the image, uint8 `[height, width, channels]`, or raises `ValueError` or
        `OSError`.
        """
        names = self.names(split)
        for number in range(start, len(names) if stop is None else stop):
            yield functools.partial(self.read, names[number])

    def on_disk(self, split, data):
        """Returns a split's `prsr.data.records.Records` if they are as `data` asks; else None."""

    def labels(self, split):
        """Returns the classes of a split's images, int32 `[count]`."""
        raise UserError("these images have no labels; use mnist:DIR, a TFDS data set or drawn")

    def digest(self):
        """Returns the `prsr.data.splits.Digest` of the images, or None if they have no names."""
        return splits.Digest.of(self.splits) if self.splits else None


def _numbered(prefix, digits, count):
    """Returns names for images without names."""
    return [f"{prefix}/{number:0{digits}d}" for number in range(count)]


class _DrawnSource(Source):
    def __init__(self, where, split, channels):
        super().__init__(where, split, channels)
        if where and not (where.isdecimal() and len(where) < 9 and int(where) >= 3):
            raise UserError(
                f"drawn:COUNT needs a count from 3 to below 100 million; got '{where[:20]}'"
            )
        count = int(where or letters.DEFAULT_COUNT)
        self.splits = splits.assign([f"{i:06d}" for i in range(count)], "hash")

    def read(self, name):
        return decoding.to_channels(letters.render(int(name)), self.channels)

    def labels(self, split):
        return np.array([letters.label(int(name)) for name in self.names(split)], np.int32)


class _FolderSource(Source):
    def __init__(self, where, split, channels):
        super().__init__(where, split, channels)
        self.folder = pathlib.Path(where)
        if not self.folder.is_dir():
            raise UserError(f"expected a folder of images; there is no folder '{where}'")
        names = listing.targets(listing.find_images(self.folder), where)
        if not names:
            raise UserError(
                f"'{where}' contains no images ({', '.join(listing.EXTENSIONS)}) at any depth"
            )
        self.splits = splits.assign(names, split, self.read)

    def read(self, name):
        return decoding.decode(self.folder / name, self.channels)


class _ZipSource(Source):
    _MAX_BYTES = 256 * 2**20  # of one unpacked file; larger ones are rejected

    def __init__(self, where, split, channels):
        super().__init__(where, split, channels)
        self.members = {}
        for path in files.split(where):
            for name, member in self._open(path).items():
                if name in self.members:
                    raise UserError(f"'{where}': two of the files contain '{name}'")
                self.members[name] = member
        self.lock = threading.Lock()  # all readers share one file position
        names = listing.targets(sorted(self.members), where)
        self.splits = splits.assign(names, split, self.read)

    @classmethod
    def _open(cls, path):
        """Returns the images of one zip: a dict from name to the open file and its entry."""
        if not pathlib.Path(path).is_file():
            raise UserError(f"expected a zip of images; there is no file '{path}'")
        try:
            archive = zipfile.ZipFile(path)
        except Exception as error:  # zipfile raises many kinds
            raise UserError(f"'{path}' is not a readable zip: {first_line(error)}") from error
        members = {cls._name(info): info for info in archive.infolist()}
        names = listing.images_among(members, path)
        if not names:
            raise UserError(f"'{path}' contains no images ({', '.join(listing.EXTENSIONS)})")
        return {name: (archive, members[name]) for name in names}

    @staticmethod
    def _name(info):
        """Returns the path of an entry, whichever system wrote it."""
        name = info.filename
        if not info.flag_bits & 0x800:  # macOS writes UTF-8 without setting this flag
            with contextlib.suppress(UnicodeError):
                name = name.encode("cp437").decode("utf-8")
        name = name.replace("\\", "/")  # Windows
        while name.startswith("./"):
            name = name[2:]
        return name

    def read(self, name):
        archive, info = self.members[name]
        if info.file_size > self._MAX_BYTES:
            raise ValueError("unpacks to more than 256 MiB")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("is neither stored nor deflated")
        try:
            with self.lock, archive.open(info) as file:
                content = file.read(info.file_size + 1)  # read() alone may inflate a zip bomb
        except Exception as error:  # zlib, encryption, unknown methods, wrong checksums
            raise ValueError(f"cannot unpack it: {error}") from error
        return decoding.decode(io.BytesIO(content), self.channels)


class _MnistSource(Source):
    """MNIST's four idx files, gzipped or not. Validation is the last 5% of the training images."""

    def __init__(self, where, split, channels):
        super().__init__(where, split, channels)
        self.folder = pathlib.Path(where)
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
        """Reads the array of an idx file."""
        stem = self.folder / f"{part}-{what}-ubyte"
        path = next((p for p in (stem, stem.with_name(stem.name + ".gz")) if p.is_file()), None)
        if path is None:
            raise UserError(f"MNIST expects {stem.name}[.gz] in '{self.folder}'")
        try:
            with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
                found, *shape = np.frombuffer(file.read(4 * (magic % 256 + 1)), ">i4").tolist()
                if found != magic or shape[0] < 20 or min(shape) < 1:
                    raise ValueError(f"magic number {found}, {shape} entries")
                return np.frombuffer(file.read(), np.uint8).reshape(shape)
        except Exception as error:  # gzip, zlib and NumPy raise many kinds
            raise UserError(
                f"'{path}' is not a valid MNIST idx file: {first_line(error)}"
            ) from error


class _RecordsSource(Source):
    """Files of `prsr.data.records`. Without test records, validation also serves as test."""

    def __init__(self, where, split, channels):
        super().__init__(where, split, channels)
        self.folder = where
        self.made_with = records.made_with(where)
        self._files = {}

    def files(self, split):
        """Returns the `prsr.data.records.Records` of a split."""
        split = self._stored(split)
        if split not in self._files:
            self._files[split] = records.Records(self.folder, split, self.channels)
        return self._files[split]

    def _stored(self, split):
        has_test = any(pathlib.Path(self.folder).glob("test-*.tfrecord"))
        return split if split != "test" or has_test else "validation"

    def check(self, data):
        """Rejects records that were cropped or resized otherwise; `crop="center"` accepts any."""
        for name in ("crop", "image_size"):
            made, wanted = self.made_with.get(name), getattr(data, name)
            if made not in (None, wanted) and wanted != "center":
                raise UserError(
                    f"the records in '{self.folder}' were made with {name}={made}, but this needs "
                    f"{name}={wanted}; make new ones with prsr.prepare"
                )

    def on_disk(self, split, data):
        files, size = self.files(split), preprocessing.stored_size(data)
        is_cropped = self.made_with or data.crop == "center"
        return files if is_cropped and (files.size, data.levels) == (size, 256) else None

    def digest(self):
        path = pathlib.Path(self.folder) / records.SPLITS
        return splits.Digest.load(path) if path.is_file() else None

    def names(self, split):
        return _numbered(self._stored(split), 8, len(self.files(split)))

    def arrays(self, split, start=0, stop=None):
        blocks = self.files(split).blocks(1024, start).as_numpy_iterator()
        images = (image for block in blocks for image in block)
        for image in itertools.islice(images, None if stop is None else stop - start):
            yield lambda image=image: image


class _LmdbSource(Source):
    """LSUN's databases, or any LMDB of image files."""

    def __init__(self, where, split, channels):
        super().__init__(where, split, channels)
        paths = lsun.databases(where)
        self.databases = {part: lsun.database(path) for part, path in paths.items()}
        self.is_one = "all" in paths
        if self.is_one:
            read = functools.partial(self._read, self.databases["all"])
            self.splits = splits.assign(list(self.databases["all"].keys), split, read)
            self.databases = dict.fromkeys(splits.NAMES, self.databases["all"])

    def names(self, split):
        return self.splits[split] if self.is_one else self.databases[split].keys

    def arrays(self, split, start=0, stop=None):
        names, database = self.names(split), self.databases[split]
        for number in range(start, len(names) if stop is None else stop):
            yield functools.partial(self._read, database, names[number])

    def _read(self, database, name):
        return decoding.decode(io.BytesIO(database.read(name)), self.channels)


class _TfdsSource(Source):
    """A TFDS data set with an `image` feature, with its official splits if it has them."""

    def __init__(self, where, split, channels):
        super().__init__(where, split, channels)
        name, _, option = where.partition(",")
        if option not in ("", "download"):
            raise UserError(f"expected tfds:NAME or tfds:NAME,download; got option '{option}'")
        try:
            with progress.silenced():  # it warns about every missing optional package
                import tensorflow_datasets as tfds
            self.builder = tfds.builder(name)
            self.decoders = {"image": tfds.decode.SkipDecoding()}
        except Exception as error:
            raise UserError(f"TFDS has no data set '{name}' ({first_line(error)})") from error
        if "image" not in self.builder.info.features:
            found = ", ".join(self.builder.info.features)
            raise UserError(f"TFDS data set '{name}' has no 'image' feature, only {found}")
        if not pathlib.Path(self.builder.data_path).is_dir():
            self._prepare(name, option)
        self.instructions = _tfds_splits(self.builder.info.splits)

    def names(self, split):
        count = self.builder.info.splits[self.instructions[split]].num_examples
        return _numbered(self.instructions[split], 6, count)

    def arrays(self, split, start=0, stop=None):
        feature = self.builder.info.features["image"]
        examples = self._examples(split).skip(start).take(-1 if stop is None else stop - start)
        examples = examples.map(
            lambda example: feature.decode_example(example["image"]), num_parallel_calls=-1
        )
        for example in examples.as_numpy_iterator():
            image = Image.fromarray(example.squeeze(-1) if example.shape[-1] == 1 else example)
            yield functools.partial(decoding.to_channels, image, self.channels)

    def labels(self, split):
        if "label" not in self.builder.info.features:
            return super().labels(split)
        examples = self._examples(split).as_numpy_iterator()
        return np.array([example["label"] for example in examples], np.int32)

    def _examples(self, split):
        return self.builder.as_dataset(
            split=self.instructions[split], shuffle_files=False, decoders=self.decoders
        )

    def _prepare(self, name, option):
        missing = f"TFDS data set '{name}' is not prepared in {self.builder.data_path}"
        if option != "download":
            raise UserError(f"{missing}; to download it, use tfds:{name},download")
        by_hand = _BY_HAND.get(name.partition("/")[0].partition(":")[0], "")
        try:
            with contextlib.suppress(urllib.error.HTTPError):  # any answer means we are online
                urllib.request.urlopen("https://storage.googleapis.com", timeout=10).close()
        except OSError as error:
            raise UserError(
                f"{missing}, and its files cannot be downloaded ({first_line(error)}); "
                f"prepare it on a machine that is online, and copy that folder here{by_hand}"
            ) from error
        try:
            self.builder.download_and_prepare()
        except Exception as error:
            raise UserError(
                f"TFDS could not prepare '{name}': {first_line(error)}{by_hand}"
            ) from error


def _tfds_splits(available):
    """Returns the split of TFDS, or the part of one, for each of ours."""
    if "validation" in available:
        test = "test" if "test" in available else "validation"
        return {"train": "train", "validation": "validation", "test": test}
    if "test" in available:
        return {"train": "train[:95%]", "validation": "train[95%:]", "test": "test"}
    return {"train": "train[:90%]", "validation": "train[90%:95%]", "test": "train[95%:]"}


# TFDS downloads from Google Drive, which sends another page after many downloads in a day.
_BY_HAND = {
    "celeb_a": "; or get img_align_celeba.zip from CelebA's authors (their Google Drive or Baidu "
    "Drive), and use dataset=zip:img_align_celeba.zip: the same images and splits"
}
