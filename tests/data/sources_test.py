import gzip
import io
import urllib.error
import urllib.request
import zipfile

import numpy as np
import pytest
from PIL import Image

from prsr.data import sources
from prsr.system.errors import UserError
from tests.data.pictures import encoded, picture

SPLITS = ("train", "validation", "test")


def opened(dataset, channels=3, split="auto"):
    return sources.open_source(dataset, split, channels)


def counts(source):
    return [len(source.names(split)) for split in SPLITS]


def test_a_folder_is_read_at_any_depth(tmp_path):
    for i, name in enumerate(["a.JPG", "deep/er/b.png", "deep/c.webp", "notes.txt"]):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kinds = {".JPG": "JPEG", ".png": "PNG", ".webp": "WEBP"}
        path.write_bytes(
            encoded(picture(i), kinds[path.suffix]) if path.suffix in kinds else b"text"
        )
    source = opened(f"folder:{tmp_path}", split="hash")
    names = sorted(name for split in source.splits.values() for name in split)
    assert names == ["a.JPG", "deep/c.webp", "deep/er/b.png"]
    assert source.read("deep/er/b.png").tolist() == np.asarray(picture(1)).tolist()


def test_several_zips_are_one_set(tmp_path):
    shades = {}
    for file, names in (("a,1", ("x/000001.png", "x/200000.png")), ("b", ("y/170000.png",))):
        with zipfile.ZipFile(tmp_path / f"{file}.zip", "w") as archive:
            for name in names:
                shades[name] = len(shades) + 1
                content = io.BytesIO()
                Image.new("RGB", (178, 218), (shades[name],) * 3).save(content, "PNG")
                archive.writestr(name, content.getvalue())
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("w/000003.png", content.getvalue())
    both = opened(f"zip:{tmp_path / 'b.zip'},{tmp_path / 'c.zip'}")
    assert both.names("train") == ["w/000003.png"] and both.names("validation") == ["y/170000.png"]
    assert both.read("y/170000.png").max() == shades["y/170000.png"]
    alone = opened(f"zip:{tmp_path / 'a,1.zip'}")  # a name with a comma
    assert alone.names("test") == ["x/200000.png"]
    assert alone.read("x/200000.png").max() == shades["x/200000.png"]
    with pytest.raises(UserError, match="contain 'y/170000.png'"):
        opened(f"zip:{tmp_path / 'b.zip'},{tmp_path / 'b.zip'}")
    with pytest.raises(UserError, match="/no.zip"):
        opened(f"zip:{tmp_path / 'b.zip'},/no.zip")


def test_a_damaged_zip_member_is_refused_and_others_read(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(3):
            archive.writestr(f"{i}.bmp", encoded(picture(i, (64, 64)), "BMP"))
        archive.writestr("readme.txt", "text")
    content = bytearray(path.read_bytes())
    content[300:330] = bytes(30)
    path.write_bytes(content)
    source = opened(f"zip:{path}", split="hash")
    assert sum(counts(source)) == 3
    with pytest.raises(ValueError, match="cannot unpack"):
        source.read("0.bmp")
    np.testing.assert_array_equal(source.read("1.bmp"), picture(1, (64, 64)))


def write_idx(folder, part, images, compress):
    content = np.array([2051, *images.shape], ">i4").tobytes() + images.tobytes()
    name = f"{part}-images-idx3-ubyte"
    if compress:
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    else:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("compress", [False, True])
def test_idx_files_are_split_and_read(tmp_path, compress):
    digits = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    write_idx(tmp_path, "train", digits, compress)
    write_idx(tmp_path, "t10k", digits[:20], compress)
    source = opened(f"mnist:{tmp_path}", 1)
    assert counts(source) == [38, 2, 20]
    last = list(source.arrays("validation"))[-1]()
    np.testing.assert_array_equal(last[..., 0], digits[39])


def test_genuine_mnist_is_read(mnist):
    source = opened(f"mnist:{mnist}", 1)
    assert counts(source) == [57000, 3000, 10000]
    first = next(source.arrays("train"))()
    assert first.shape == (28, 28, 1) and first.sum() == 27525  # the well-known five
    assert source.labels("train")[:5].tolist() == [5, 0, 4, 1, 9]
    assert source.labels("test")[:5].tolist() == [7, 2, 1, 0, 4]
    assert len(source.labels("validation")) == 3000


def test_idx_labels_are_read_if_their_count_fits(tmp_path):
    digits = np.zeros((40, 28, 28), np.uint8)
    for part in ("train", "t10k"):
        write_idx(tmp_path, part, digits, compress=False)
    source = opened(f"mnist:{tmp_path}", 1)
    with pytest.raises(UserError, match=r"expects t10k-labels-idx1-ubyte\[.gz\]"):
        source.labels("test")
    for count in (40, 30):
        content = np.array([2049, count], ">i4").tobytes() + bytes(range(count))
        (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(content)
        if count == 40:
            assert source.labels("test").tolist() == list(range(40))
    with pytest.raises(UserError, match="30 labels for 40"):
        source.labels("test")


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"])
def test_a_broken_idx_file_is_refused(tmp_path, name):
    content = gzip.compress(bytes(2000)) if name.endswith("gz") else bytes(40)
    (tmp_path / name).write_bytes(content[:15] + b"x" * 20)
    with pytest.raises(UserError, match=name):
        opened(f"mnist:{tmp_path}", 1)


def test_genuine_celeba_is_read(celeba):
    source = opened(f"zip:{celeba / 'img_align_celeba.zip'}")
    assert counts(source) == [4560, 780, 360]
    assert next(source.arrays("test"))().shape == (218, 178, 3)


@pytest.fixture
def mocked(tmp_path, monkeypatch):
    """A TFDS builder of seven images, which is prepared."""
    import tensorflow_datasets as tfds

    with tfds.testing.mock_data(num_examples=7, policy=tfds.testing.MockPolicy.USE_CODE):
        builder = tfds.builder("celeb_a")
        monkeypatch.setattr(tfds, "builder", lambda name: builder)
        monkeypatch.setattr(type(builder), "data_path", tmp_path)
        yield builder


def test_tfds_images_are_read_whole_and_in_part(mocked):
    source = opened("tfds:celeb_a")
    arrays = [read() for read in source.arrays("validation")]
    part = [read() for read in source.arrays("validation", 2, 5)]
    assert len(arrays) == 7 and arrays[0].shape == (218, 178, 3)
    assert len(part) == 3 and all(map(np.array_equal, part, arrays[2:5]))


@pytest.mark.parametrize(
    ("official", "expected"),
    [
        (["train", "validation", "test"], ["train", "validation", "test"]),
        (["train", "validation"], ["train", "validation", "validation"]),
        (["train", "test"], ["train[:95%]", "train[95%:]", "test"]),
        (["train"], ["train[:90%]", "train[90%:95%]", "train[95%:]"]),
    ],
)
def test_splits_that_tfds_lacks_are_taken_from_others(official, expected):
    assert [sources._tfds_splits(official)[split] for split in SPLITS] == expected


@pytest.mark.slow
def test_tfds_prepared(mnist, tmp_path, monkeypatch):
    """The genuine MNIST, prepared by TFDS, is the same as from its files."""
    import tensorflow_datasets as tfds

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    builder = tfds.builder("mnist", data_dir=tmp_path)
    config = tfds.download.DownloadConfig(manual_dir=mnist)
    builder.download_and_prepare(download_config=config)
    monkeypatch.setattr(tfds, "builder", lambda name: builder)
    prepared = opened("tfds:mnist", 1)
    files = opened(f"mnist:{mnist}", 1)
    assert counts(prepared) == [57000, 3000, 10000]
    sums = [
        sorted(
            (int(label), int(read().sum()))
            for label, read in zip(source.labels("test"), source.arrays("test"))
        )
        for source in (prepared, files)
    ]
    assert sums[0] == sums[1]


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("floder:x", "KIND is one of drawn, folder, zip"),
        ("folder", "needs a location"),
        ("folder:/no/such/place", "no folder '/no/such/place'"),
        ("zip:/no/such.zip", "no file '/no/such.zip'"),
        ("mnist:/no/such", "train-images-idx3-ubyte"),
        ("drawn:many", "count from 3"),
        (f"drawn:{'9' * 12}", "drawn:COUNT"),
        (f"drawn:{'9' * 5000}", "drawn:COUNT"),
        ("tfds:no_such_set", "TFDS has no data set 'no_such_set'"),
    ],
)
def test_data_sets_that_cannot_be_opened_are_refused(dataset, words):
    with pytest.raises(UserError, match=words):
        opened(dataset)


def test_places_without_images_are_refused(tmp_path):
    with pytest.raises(UserError, match="no images"):
        opened(f"folder:{tmp_path}")
    (tmp_path / "a.zip").write_bytes(b"PK\3\4 and nothing")
    with pytest.raises(UserError, match="a.zip"):
        opened(f"zip:{tmp_path / 'a.zip'}")
    with pytest.raises(UserError, match=f"folder:{tmp_path}"):
        opened(str(tmp_path))


@pytest.fixture
def unprepared(tmp_path, monkeypatch):
    """A TFDS folder with nothing in it, and a builder whose download fails."""
    import tensorflow_datasets as tfds

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", quota_is_exceeded)
    builder = tfds.builder
    monkeypatch.setattr(tfds, "builder", lambda name: builder(name, data_dir=tmp_path))


def quota_is_exceeded(builder):
    raise ValueError("Artifact https://drive.google.com/x, in y, has wrong checksum\nmore")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (urllib.error.URLError("offline"), "cannot be downloaded .*offline"),
        (urllib.error.HTTPError("x", 400, "Bad Request", {}, io.BytesIO()), "wrong checksum"),
    ],
)
def test_a_failed_tfds_download_of_celeba_names_the_zip(unprepared, monkeypatch, answer, words):
    """Offline or over quota, the command of `experiments/celeba.flags` tells what to do."""

    def answers(address, timeout):
        raise answer

    monkeypatch.setattr(urllib.request, "urlopen", answers)
    with pytest.raises(UserError, match=f"{words}.*zip:img_align_celeba.zip") as error:
        opened("tfds:celeb_a,download")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError) as error:
        opened("tfds:mnist,download", 1)
    assert "celeba" not in str(error.value)


def test_a_zip_with_backslashes_is_split_by_its_folders(tmp_path):
    names = [".\\train\\a.png", "./val/b.png", "train\\x\\c.png", "test\\d.png"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i, name in enumerate(names):
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, encoded(picture(i), "PNG"))
    source = opened(f"zip:{tmp_path / 'a.zip'}")
    assert counts(source) == [2, 1, 1]
    for split in source.splits:
        assert all(read().shape == (48, 40, 3) for read in source.arrays(split))
