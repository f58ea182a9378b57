import contextlib
import gzip
import http.server
import io
import threading
import urllib.error
import urllib.request
import zipfile

import numpy as np
import pytest
from PIL import Image

from prsr.data import sources
from prsr.system.errors import UserError
from tests.data.pictures import encoded, picture


def test_a_folder_at_any_depth(tmp_path):
    for i, name in enumerate(["a.JPG", "deep/er/b.png", "deep/c.webp", "notes.txt"]):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kinds = {".JPG": "JPEG", ".png": "PNG", ".webp": "WEBP"}
        path.write_bytes(
            encoded(picture(i), kinds[path.suffix]) if path.suffix in kinds else b"text"
        )
    source = sources.open_source(f"folder:{tmp_path}", "hash", 3)
    names = sorted(name for split in source.splits.values() for name in split)
    assert names == ["a.JPG", "deep/c.webp", "deep/er/b.png"]
    assert source.read("deep/er/b.png").tolist() == np.asarray(picture(1)).tolist()


def test_a_folder_without_its_kind(tmp_path):
    with pytest.raises(UserError, match=f"did you mean folder:{tmp_path}\\?"):
        sources.open_source(str(tmp_path), "hash", 3)
    with pytest.raises(UserError, match="got 'my_images'$"):
        sources.open_source("my_images", "hash", 3)


def test_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(3):
            archive.writestr(f"in/{i}.png", encoded(picture(i), "PNG"))
        archive.writestr("readme.txt", "text")
        archive.writestr("__MACOSX/in/._0.png", "no image, but macOS writes it")
    source = sources.open_source(f"zip:{tmp_path / 'a.zip'}", "hash", 3)
    assert sum(len(names) for names in source.splits.values()) == 3
    for i in range(3):
        np.testing.assert_array_equal(source.read(f"in/{i}.png"), picture(i))


def test_several_zips_are_one_set(tmp_path):
    shades = {}
    for file, names in (("a,1", ("x/000001.png", "x/200000.png")), ("b", ("y/170000.png",))):
        with zipfile.ZipFile(tmp_path / f"{file}.zip", "w") as archive:
            for name in names:
                shades[name] = len(shades) + 1
                content = io.BytesIO()
                Image.new("RGB", (4, 4), (shades[name],) * 3).save(content, "PNG")
                archive.writestr(name, content.getvalue())
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("w/000003.png", content.getvalue())
    both = sources.open_source(f"zip:{tmp_path / 'b.zip'},{tmp_path / 'c.zip'}", "auto", 3)
    assert both.names("train") == ["w/000003.png"] and both.names("validation") == ["y/170000.png"]
    assert both.read("y/170000.png").max() == shades["y/170000.png"]
    alone = sources.open_source(f"zip:{tmp_path / 'a,1.zip'}", "auto", 3)  # a name with a comma
    assert alone.names("test") == ["x/200000.png"]
    assert alone.read("x/200000.png").max() == shades["x/200000.png"]
    with pytest.raises(UserError, match="contain 'y/170000.png'"):
        sources.open_source(f"zip:{tmp_path / 'b.zip'},{tmp_path / 'b.zip'}", "auto", 3)
    with pytest.raises(UserError, match="no file '/no.zip'"):
        sources.open_source(f"zip:{tmp_path / 'b.zip'},/no.zip", "auto", 3)


def test_a_zip_with_a_damaged_member(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(3):
            archive.writestr(f"{i}.bmp", encoded(picture(i, (64, 64)), "BMP"))
    content = bytearray(path.read_bytes())
    content[300:330] = bytes(30)
    path.write_bytes(content)
    source = sources.open_source(f"zip:{path}", "hash", 3)
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
def test_idx_files(tmp_path, compress):
    digits = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    write_idx(tmp_path, "train", digits, compress)
    write_idx(tmp_path, "t10k", digits[:20], compress)
    source = sources.open_source(f"mnist:{tmp_path}", "auto", 1)
    assert [len(source.names(s)) for s in ("train", "validation", "test")] == [38, 2, 20]
    last = list(source.arrays("validation"))[-1]()
    np.testing.assert_array_equal(last[..., 0], digits[39])


def test_genuine_mnist(mnist):
    source = sources.open_source(f"mnist:{mnist}", "auto", 1)
    assert [len(source.names(s)) for s in ("train", "validation", "test")] == [57000, 3000, 10000]
    first = next(source.arrays("train"))()
    assert first.shape == (28, 28, 1) and first.sum() == 27525  # the well-known five
    assert source.labels("train")[:5].tolist() == [5, 0, 4, 1, 9]
    assert source.labels("test")[:5].tolist() == [7, 2, 1, 0, 4]
    assert len(source.labels("validation")) == 3000


def test_idx_labels(tmp_path):
    digits = np.zeros((40, 28, 28), np.uint8)
    for part in ("train", "t10k"):
        write_idx(tmp_path, part, digits, compress=False)
    source = sources.open_source(f"mnist:{tmp_path}", "auto", 1)
    with pytest.raises(UserError, match=r"expects t10k-labels-idx1-ubyte\[.gz\]"):
        source.labels("test")
    for count in (40, 30):
        content = np.array([2049, count], ">i4").tobytes() + bytes(range(count))
        (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(content)
        if count == 40:
            assert source.labels("test").tolist() == list(range(40))
    with pytest.raises(UserError, match="30 labels for 40"):
        source.labels("test")


def test_a_broken_idx_file(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0" * 40)
    with pytest.raises(UserError, match="not a valid MNIST idx file"):
        sources.open_source(f"mnist:{tmp_path}", "auto", 1)


def test_a_damaged_gzip(tmp_path):
    write_idx(tmp_path, "train", np.zeros((40, 28, 28), np.uint8), True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[20:40] = b"x" * 20
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a valid MNIST idx file"):
        sources.open_source(f"mnist:{tmp_path}", "auto", 1)


def test_genuine_celeba(celeba):
    source = sources.open_source(f"zip:{celeba / 'img_align_celeba.zip'}", "auto", 3)
    counts = [len(source.names(split)) for split in ("train", "validation", "test")]
    assert counts == [4560, 780, 360]
    assert next(source.arrays("test"))().shape == (218, 178, 3)


def test_tfds_splits():
    official = {"train": 0, "validation": 0, "test": 0}
    instructions = sources._Tfds._instructions
    assert instructions(official) == {"train": "train", "validation": "validation", "test": "test"}
    assert instructions({"train": 0, "validation": 0})["test"] == "validation"
    assert instructions({"train": 0, "test": 0})["validation"] == "train[95%:]"
    assert instructions({"train": 0})["test"] == "train[95%:]"


def test_tfds_images_by_mock():
    import tensorflow_datasets as tfds

    policy = tfds.testing.MockPolicy.USE_CODE
    with tfds.testing.mock_data(num_examples=7, policy=policy):
        source = sources._Tfds.__new__(sources._Tfds)
        source.channels, source.builder = 3, tfds.builder("celeb_a")
        source.skip_decoding = tfds.decode.SkipDecoding()
        source.instructions = {"validation": "validation"}
        arrays = [read() for read in source.arrays("validation")]
        part = [read() for read in source.arrays("validation", 2, 5)]
    assert len(arrays) == 7 and arrays[0].shape == (218, 178, 3)
    assert len(part) == 3 and all(map(np.array_equal, part, arrays[2:5]))


@pytest.mark.slow
def test_tfds_prepared(mnist, tmp_path, monkeypatch):
    """The genuine MNIST, prepared by TFDS, is the same as from its files."""
    import tensorflow_datasets as tfds

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    builder = tfds.builder("mnist", data_dir=tmp_path)
    config = tfds.download.DownloadConfig(manual_dir=mnist)
    builder.download_and_prepare(download_config=config)
    monkeypatch.setattr(tfds, "builder", lambda name: builder)
    prepared = sources.open_source("tfds:mnist", "auto", 1)
    files = sources.open_source(f"mnist:{mnist}", "auto", 1)
    assert [len(prepared.names(s)) for s in ("train", "validation", "test")] == [57000, 3000, 10000]
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
        ("tfds:no_such_set", "TFDS has no data set 'no_such_set'"),
    ],
)
def test_what_cannot_be_opened(dataset, words):
    with pytest.raises(UserError, match=words):
        sources.open_source(dataset, "auto", 3)


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match="contains no images"):
        sources.open_source(f"folder:{tmp_path}", "auto", 3)


def test_a_zip_that_is_none(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\3\4 and nothing")
    with pytest.raises(UserError, match="not a readable zip"):
        sources.open_source(f"zip:{tmp_path / 'a.zip'}", "auto", 3)


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


@contextlib.contextmanager
def server(answer):
    """A web server on this machine, which notes whom it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self):
            asked.append(self.path)
            self.send_response(answer)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("localhost", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://localhost:{listening.server_port}", asked
        listening.shutdown()
        thread.join()


def test_tfds_is_asked_through_the_proxy(unprepared, monkeypatch):
    with server(403) as (address, asked):
        monkeypatch.setenv("https_proxy", address)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setattr(urllib.request, "_opener", None)  # which has read the environment
        with pytest.raises(UserError, match="cannot be downloaded .*403.*zip:img_align_celeba.zip"):
            sources.open_source("tfds:celeb_a,download", "auto", 3)
    assert asked == ["storage.googleapis.com:443"]


def test_a_quota_of_google_drive_leads_to_the_zip(unprepared, monkeypatch):
    """Our main command, `experiments/celeba.flags`."""

    def answers(address, timeout):
        raise urllib.error.HTTPError(address, 400, "Bad Request", {}, io.BytesIO())

    monkeypatch.setattr(urllib.request, "urlopen", answers)
    with pytest.raises(UserError) as error:
        sources.open_source("tfds:celeb_a,download", "auto", 3)
    assert "\n" not in str(error.value) and "wrong checksum" in str(error.value)
    assert "zip:img_align_celeba.zip" in str(error.value)
    with pytest.raises(UserError) as error:
        sources.open_source("tfds:mnist,download", "auto", 1)
    assert "celeba" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (["img\\000001.jpg", "img\\170000.jpg", "img\\190000.jpg"], [1, 1, 1]),
        (
            ["set\\train\\a.png", "set\\train\\b.png", "set\\val\\c.png", "set\\test\\d.png"],
            [2, 1, 1],
        ),
        ([".\\train\\a.png", "./val/b.png", "train\\x\\c.png"], [2, 1, 1]),
    ],
)
def test_a_zip_of_windows(tmp_path, names, counts):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i, name in enumerate(names):
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, encoded(picture(i), "PNG"))
    source = sources.open_source(f"zip:{tmp_path / 'a.zip'}", "auto", 3)
    assert [len(source.names(split)) for split in ("train", "validation", "test")] == counts
    for split in source.splits:
        assert all(read().shape == (48, 40, 3) for read in source.arrays(split))
