"""Hostile and malformed files end in the documented error, and in nothing worse."""

import contextlib
import dataclasses
import gc
import io
import json
import math
import pathlib
import re
import shutil
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from prsr.data import decoding, records, sources
from prsr.hparams import ARCHITECTURES, DataHparams, Hparams, ModelHparams
from prsr.models.build import build_model
from prsr.system.errors import UserError
from prsr.workdir.directory import Workdir
from tests.conftest import tried
from tests.data import pictures

RNG = np.random.default_rng(0)
MIB = 2**20


@st.composite
def mutated(draw, contents):
    """One of the contents with bytes changed, cut, doubled or put in, at one to three places."""
    content = draw(st.sampled_from(contents))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        stop = draw(st.sampled_from([start + 1, start, start + 4, len(content)]))
        old, flip = content[start:stop], draw(st.integers(1, 255))
        changes = [bytes(byte ^ flip for byte in old), b"", old * 2, draw(st.binary(max_size=6))]
        content = content[:start] + draw(st.sampled_from(changes)) + content[stop:]
    return content


@contextlib.contextmanager
def little_memory(most=256 * MIB):
    """Within it this process never holds so many bytes more than before (measured on Linux)."""
    clear, status = pathlib.Path("/proc/self/clear_refs"), pathlib.Path("/proc/self/status")
    gc.collect()
    clear.write_text("5")  # the peak starts anew
    before = int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1])
    try:
        yield
    finally:
        peak = int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1])
        assert 1024 * (peak - before) < most, f"{(peak - before) // 1024} MiB"


# Images


def encoded(kind, mode, size=(12, 9), **options):
    """A picture as a file."""
    pixels = RNG.integers(0, 256, (*size, 4), dtype=np.uint8)
    image = Image.fromarray(pixels).convert("RGB").convert(mode)
    return pictures.encoded(image, kind, **options)


EXIF = Image.Exif()
EXIF[0x0112] = 6
PICTURES = [
    encoded("JPEG", "RGB", exif=EXIF),
    encoded("JPEG", "CMYK", progressive=True),
    encoded("JPEG", "L"),
    encoded("PNG", "RGBA"),
    encoded("PNG", "P", transparency=3),
    encoded("PNG", "1"),
    encoded("WEBP", "RGBA", lossless=True, exif=EXIF),
    encoded("WEBP", "RGB"),
    encoded("BMP", "P"),
    encoded("TIFF", "RGB", compression="tiff_lzw"),
    encoded("BMP", "RGB"),
    encoded("GIF", "P", transparency=3, save_all=True, append_images=[Image.new("P", (5, 5))]),
]


@tried(800)
@given(content=mutated(PICTURES) | st.binary(max_size=100), channels=st.sampled_from([1, 3]))
@pytest.mark.filterwarnings("ignore")
def test_any_bytes_are_an_image_or_a_value_error(capfd, content, channels):
    with contextlib.suppress(ValueError):
        array = decoding.decode(io.BytesIO(content), channels)
        assert array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == channels
        assert array.size > 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("side", [9000, 14_000])  # Pillow itself refuses from 13,377 on
@pytest.mark.parametrize("kind", ["PNG", "GIF"])
@pytest.mark.filterwarnings("ignore")
def test_decompression_bombs_are_refused(kind, side):
    """A file of kilobytes that holds 81 or more megapixels is refused in one line."""
    buffer = io.BytesIO()
    Image.new("1", (side, side)).save(buffer, kind)
    with little_memory(), pytest.raises(ValueError, match="not a readable") as error:
        decoding.decode(buffer, 3)
    assert "\n" not in str(error.value)


# Zips


def zipped(members, method=zipfile.ZIP_STORED, **lies):
    """A zip; its table of contents lies about all members where `lies` are given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for info in archive.infolist():
            for field, value in lies.items():
                setattr(info, field, value)
    return buffer.getvalue()


MEMBERS = {f"{i}.png": encoded("PNG", "RGB", (3, 3)) for i in range(4)}
IMAGES = [decoding.decode(io.BytesIO(content), 3).tolist() for content in MEMBERS.values()]


def read_zip(folder, content):
    """A list of its images; None for one that cannot be read."""
    (folder / "a.zip").write_bytes(content)
    source = sources.open_source(f"zip:{folder / 'a.zip'}", "hash", 3)
    images = []
    for name in sorted(sum(source.splits.values(), [])):
        try:
            images.append(source.read(name).tolist())
        except (ValueError, OSError):
            images.append(None)
    return images


@tried(500)
@given(content=mutated([zipped(MEMBERS), zipped(MEMBERS, zipfile.ZIP_DEFLATED)]))
def test_any_zip_holds_the_same_images_or_none(tmp_path, content):
    """Each image of a damaged zip is one of the originals or refused."""
    with contextlib.suppress(UserError):
        assert all(image is None or image in IMAGES for image in read_zip(tmp_path, content))


@pytest.mark.parametrize(
    ("method", "size"),
    [(zipfile.ZIP_DEFLATED, 1000), (zipfile.ZIP_DEFLATED, 2**31 - 1), (zipfile.ZIP_BZIP2, 1000)],
)
def test_a_zip_bomb_is_not_inflated(tmp_path, method, size):
    """304 MiB of zeros are refused, whatever size the table of contents gives."""
    content = zipped(MEMBERS | {"0.png": bytes(304 * MIB)}, method, file_size=size)
    with little_memory():
        assert read_zip(tmp_path, content)[0] is None


# settings.json


NUMBERS = [-1, 0, 1, 2, 3, 2**31, 2**63, 10**30, 10**400]
DEEP = b"[" * 200_000
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.sampled_from([*NUMBERS, *ARCHITECTURES, "drawn", "\0"])
    | st.text(max_size=9),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=6,
)


def places(values):
    """Every `(dictionary, key)` at any depth."""
    for key, value in values.items():
        yield values, key
        if isinstance(value, dict):
            yield from places(value)


@st.composite
def tampered(draw, content):
    """A JSON file with one to three of its values replaced by anything."""
    values = json.loads(content)
    for _ in range(draw(st.integers(1, 3))):
        dictionary, key = draw(st.sampled_from(list(places(values))))
        dictionary[key] = draw(anything)
    return json.dumps(values).encode()


def json_files(content):
    any_json = anything.map(lambda values: json.dumps(values).encode())
    return tampered(content) | mutated([content]) | any_json | st.binary()


SETTINGS = json.dumps({"hparams": Hparams().to_dict()}).encode()


@example(DEEP)
@tried(600)
@given(json_files(SETTINGS))
def test_any_settings_are_valid_or_refused(tmp_path, content):
    """Those read have their fields' types and choices; those that pass, finite numbers."""
    (tmp_path / "settings.json").write_bytes(content)
    with contextlib.suppress(UserError):
        hparams = Workdir(tmp_path).read_hparams()
        for section in (hparams.model, hparams.data, hparams.training):
            for field in dataclasses.fields(section):
                value, choices = getattr(section, field.name), field.metadata["choices"]
                assert type(value) in (field.type, int if field.type is float else field.type)
                assert not choices or value in choices
        hparams.check()
        values = vars(hparams.training).values()
        assert all(math.isfinite(value) for value in values if not isinstance(value, str))


SMALL = {
    "channels": 3, "scale": 4, "image_size": 8, "blocks_per_stage": 1, "conditioning_width": 3,
    "prior_width": 3, "prior_layers": 1, "prior_hidden": 3,
}  # fmt: skip


@example(ARCHITECTURES[0], {"prior_layers": 10**5})
@example(ARCHITECTURES[0], {"blocks_per_stage": 10**5})
@example(ARCHITECTURES[0], {"conditioning_width": 2**31})
@example(ARCHITECTURES[0], {"prior_hidden": 2**40})
@example(ARCHITECTURES[0], {"image_size": 2**31})
@example(ARCHITECTURES[0], {"image_size": 2**31, "scale": 2**31})
@tried(60)
@given(
    kind=st.sampled_from([*ARCHITECTURES, "none"]),
    sizes=st.dictionaries(st.sampled_from(list(SMALL)), st.sampled_from(NUMBERS), max_size=3),
)
def test_any_sizes_are_a_model_or_refused(tmp_path, kind, sizes):
    """Neither takes the machine's memory."""
    sizes = SMALL | sizes
    data = DataHparams(image_size=sizes.pop("image_size"))
    with contextlib.suppress(UserError), little_memory(2048 * MIB):
        workdir = Workdir(tmp_path)
        workdir.write_hparams(Hparams(ModelHparams(kind, **sizes), data))
        hparams = workdir.read_hparams()
        hparams.check()
        build_model(hparams)


# Records


TRUE = RNG.integers(0, 256, (7, 2, 2, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def record_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "one"
    records.write(path, TRUE)
    return path.read_bytes()


def read_records(folder):
    """All images of a folder's training records, as a list; None if they are refused."""
    try:
        files = records.Records(folder, "train", 3)
        images = [
            image.tolist() for block in files.blocks(3).as_numpy_iterator() for image in block
        ]
        assert files.reader()(tf.range(len(files), dtype=tf.int64)).numpy().tolist() == images
        return images
    except (UserError, tf.errors.DataLossError):
        return None


@tried(150)
@given(data=st.data(), first=st.booleans())
def test_any_records_are_the_same_images_or_refused(tmp_path, record_file, first, data):
    """Whole records may be missing or doubled, which no checksum shows."""
    content = data.draw(mutated([record_file]))
    for i in range(2):
        (tmp_path / f"train-0000{i}.tfrecord").write_bytes(content if first != i else record_file)
    images = read_records(tmp_path)
    if images is not None:
        assert all(image in TRUE.tolist() for image in images)
        assert len(content) != len(record_file) or images == 2 * TRUE.tolist()


MANIFEST = (
    b'{"complete": true, "files": {"train-00000.tfrecord": {"images": 7}},'
    b' "settings": {"crop": "celeba", "image_size": 2, "channels": 3}}'
)


@example(DEEP)
@tried(300)
@given(content=json_files(MANIFEST))
def test_any_manifest_is_right_or_refused(tmp_path, record_file, content):
    (tmp_path / "train-00000.tfrecord").write_bytes(record_file)
    (tmp_path / "records.json").write_bytes(content)
    with contextlib.suppress(UserError):
        assert len(records.Records(tmp_path, "train", 3)) == len(TRUE)
        made = records.made_with(tmp_path)
        assert all(type(made[name]) is int for name in made if name != "crop")


# Weights


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory whose model has four weights."""
    hparams = Hparams(ModelHparams("regression", 1, 1, 0, 1), DataHparams(image_size=2))
    workdir = Workdir(tmp_path_factory.mktemp("run"))
    workdir.write_hparams(hparams)
    workdir.save_weights(build_model(hparams))
    return workdir.path


@pytest.fixture
def workdir(run, tmp_path):
    """A copy to be damaged."""
    return Workdir(shutil.copytree(run, tmp_path / "run"))


@tried(150)
@given(data=st.data())
def test_any_weights_are_loaded_or_refused(run, workdir, data):
    """HDF5 has no checksums here, so a number may have become another."""
    content = data.draw(mutated([(run / "model.weights.h5").read_bytes()]))
    workdir.weights.unlink()  # HDF5 may still have the last one open
    workdir.weights.write_bytes(content)
    with contextlib.suppress(UserError):
        _, model = workdir.load_model()
        assert [variable.shape for variable in model.weights] == [SHAPE, (1,)] * 2


SHAPE = (1, 1, 1, 1)
KERNEL = "layers/conv2d/vars/0"


@pytest.mark.parametrize("how", ["external storage", "external link", "soft link"])
def test_weights_outside_the_file_or_behind_links_are_refused(workdir, how):
    """They are refused although they would fit."""
    other = shutil.copy(workdir.weights, workdir.path / "other.h5")
    with h5py.File(workdir.weights, "r+") as file:
        file.move(KERNEL, "moved")
        if how == "soft link":
            file[KERNEL] = h5py.SoftLink("/moved")
        elif how == "external link":
            file[KERNEL] = h5py.ExternalLink(other, KERNEL)
        else:
            file.create_dataset(KERNEL, SHAPE, "f4", external=[(other, 0, 4)])
    with pytest.raises(UserError, match="not hold the weights"):
        workdir.load_model()
