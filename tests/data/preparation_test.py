"""python -m prsr.prepare: from every kind of source, and through every fault."""

import dataclasses
import io
import json
import resource
import shutil
import signal
import time

import numpy as np
import pytest

from prsr.data import decoding, image_sets, letters, pipeline, preparation, records, sources
from prsr.errors import UserError
from prsr.hparams import DataHparams
from tests.conftest import assert_one_line, call, run, start

OPTIONS = ["--dataset=drawn:200", "--image_size=8", "--images_per_file=50"]
DATA = DataHparams(dataset="drawn:200", image_size=8)


def encoded(index, kind="JPEG"):
    file = io.BytesIO()
    letters.draw(index).save(file, kind)
    return file.getvalue()


def write_lmdb(path, count, first=0):
    """A database as LSUN's: keys of forty hexadecimal digits, values under any name's format."""
    lmdb = pytest.importorskip("lmdb")
    path.mkdir(parents=True)
    with (
        lmdb.open(str(path), map_size=2**28) as database,
        database.begin(write=True) as transaction,
    ):
        for index in range(first, first + count):
            transaction.put(b"%040x" % (index * 7919), encoded(index, ["JPEG", "WEBP"][index % 2]))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "records"
    result = run("prepare", *OPTIONS, f"--output={folder}")
    assert result.returncode == 0, result.stderr
    assert "train: 186 images in 4 file(s), 0 skipped" in result.stdout
    return folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.glob("[tv]*.tfrecord")}


def images(folder, split):
    return np.concatenate(list(records.Records(folder, split, 3).blocks(64).as_numpy_iterator()))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_records_are_the_images_of_the_source(prepared, split):
    np.testing.assert_array_equal(images(prepared, split), image_sets.load(DATA, 3, split).images)


def test_training_reads_records_as_it_reads_the_source(prepared):
    """The same batches, images and mirrors, read one by one from the disk."""
    data = DataHparams(dataset=f"records:{prepared}", image_size=8, mirror=True)
    stored = image_sets.training_set(data, 3)
    assert isinstance(stored, records.Records)
    batches = [
        pipeline.training_pairs(part, data, 4, 32, seed=5, first_step=3).take(12)
        for part in (stored, image_sets.training_set(DATA, 3))
    ]
    for one, two in zip(*(b.as_numpy_iterator() for b in batches), strict=True):
        for actual, expected in zip(one, two):
            np.testing.assert_array_equal(actual, expected)


def test_parts_are_the_batch():
    """What several machines read, put together."""
    image_set = image_sets.load(DATA, 3, "train")
    data = DataHparams(image_size=8, mirror=True)

    def pairs(*parts):
        return [
            [batch.numpy() for batch in element]
            for element in pipeline.training_pairs(
                image_set, data, 4, 12, 5, 7, pipeline.Shard(*parts)
            ).take(4 * parts[1])
        ]

    whole, first, second = pairs(0, 1, 1), pairs(0, 1, 3), pairs(1, 2, 3)
    for step in range(4):
        parts = [first[step], *second[2 * step :][:2]]
        for i in range(2):
            together = np.concatenate([part[i] for part in parts])
            np.testing.assert_array_equal(together, whole[step][i])


def test_lsun(tmp_path):
    """Both databases of a category; the validation images serve for testing."""
    write_lmdb(tmp_path / "lsun" / "bedroom_train_lmdb", 30)
    write_lmdb(tmp_path / "lsun" / "bedroom_val_lmdb", 7, first=100)
    data = DataHparams(f"lmdb:{tmp_path / 'lsun'}", 8)
    assert preparation.prepare(data, 3, tmp_path / "records", 8)["train"] == (4, 30, 0)
    found = images(tmp_path / "records", "train")
    files = [decoding.decode(io.BytesIO(encoded(i, ["JPEG", "WEBP"][i % 2])), 3) for i in range(30)]
    expected = [pipeline.pair(image, DATA, 4)[1] for image in files]
    np.testing.assert_array_equal(found, expected)
    source = sources.open_source(f"records:{tmp_path / 'records'}", "auto", 3)
    assert len(source.names("test")) == len(source.names("validation")) == 7


def test_one_database_is_divided_by_its_keys(tmp_path):
    write_lmdb(tmp_path / "lmdb", 40)
    source = sources.open_source(f"lmdb:{tmp_path / 'lmdb'}", "auto", 3)
    names = [name for split in ("train", "validation", "test") for name in source.names(split)]
    assert len(names) == len(set(names)) == 40 and len(source.names("test")) >= 1
    for read in source.arrays("train", 2, 5):
        assert read().shape == (128, 128, 3)


def test_a_database_that_is_cut_short(tmp_path):
    """LMDB itself would end the process."""
    write_lmdb(tmp_path / "lmdb", 40)
    file = tmp_path / "lmdb" / "data.mdb"
    file.write_bytes(file.read_bytes()[:-9000])
    with pytest.raises(UserError, match="data.mdb' cannot be read as an LMDB .*cut short"):
        sources.open_source(f"lmdb:{tmp_path / 'lmdb'}", "auto", 3)
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match="cannot be read as an LMDB"):
        sources.open_source(f"lmdb:{tmp_path / 'lmdb'}", "auto", 3)


def test_databases_that_are_not_lsun(tmp_path):
    with pytest.raises(UserError, match="expected LSUN's databases"):
        sources.open_source(f"lmdb:{tmp_path}", "auto", 3)
    for name in ("bedroom_train_lmdb", "tower_train_lmdb", "bedroom_val_lmdb"):
        write_lmdb(tmp_path / name, 3)
    with pytest.raises(UserError, match="bedroom_train_lmdb' and 'tower_train_lmdb'"):
        sources.open_source(f"lmdb:{tmp_path}", "auto", 3)


def test_images_that_cannot_be_used_are_counted(tmp_path):
    folder = tmp_path / "images"
    for split, count in (("train", 5), ("val", 2)):
        (folder / split).mkdir(parents=True)
        for i in range(count):
            (folder / split / f"{i}.png").write_bytes(encoded(i, "PNG"))
    for i in (0, 1, 4):
        (folder / "train" / f"{i}.png").write_bytes(b"no image")
    options = [f"--dataset=folder:{folder}", "--image_size=8", "--images_per_file=2"]
    result = call("prepare", *options, f"--output={tmp_path / 'records'}")
    assert result.returncode == 0, result.stderr
    assert "train: 2 images in 1 file(s), 3 skipped" in result.stdout
    assert "skipped 3 of 5 train images: train/0.png" in result.stderr
    expected = [pipeline.pair(np.asarray(letters.draw(i)), DATA, 4)[1] for i in (2, 3)]
    np.testing.assert_array_equal(images(tmp_path / "records", "train"), expected)
    data = DataHparams(f"folder:{folder}", 8)
    assert preparation.prepare(data, 3, tmp_path / "records", 2)["train"] == (1, 2, 3)


def test_killed_and_continued(prepared, tmp_path):
    """Whatever is there after a kill is whole, and the same command writes the rest."""
    for count in (1, 3):
        process, end = start("prepare", *OPTIONS, f"--output={tmp_path}"), time.monotonic() + 60
        while len(content(tmp_path)) < count:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.001)
        process.kill()
        process.communicate()
        for name, found in content(tmp_path).items():
            assert found == (prepared / name).read_bytes(), name
        if not json.loads((tmp_path / "records.json").read_text())["complete"]:
            with pytest.raises(UserError, match="not all of its records yet"):
                records.Records(tmp_path, "train", 3)
    result = call("prepare", *OPTIONS, f"--output={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert content(tmp_path) == content(prepared)
    assert not list(tmp_path.glob(".partial-*"))


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 1
    elif how == "truncated":
        del data[-100:]
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["flipped", "truncated", "missing"])
def test_a_damaged_file_is_refused_and_mended(prepared, tmp_path, how):
    copy = tmp_path / "copy"
    shutil.copytree(prepared, copy)
    damage(copy / "train-00002.tfrecord", how)
    if how == "flipped":
        data = DataHparams(dataset=f"records:{copy}", image_size=8)
        with pytest.raises(UserError, match="cannot be read to its end.*corrupted"):
            image_sets.load(data, 3, "train")
    else:
        with pytest.raises(UserError, match="train-00002.tfrecord"):
            records.Records(copy, "train", 3)
    assert preparation.prepare(DATA, 3, copy, 50)["train"] == (4, 186, 0)
    assert content(copy) == content(prepared)


def test_a_folder_that_was_made_otherwise(prepared, tmp_path):
    for data, count, words in [
        (dataclasses.replace(DATA, image_size=16), 50, "image_size 8, and not 16"),
        (DataHparams("drawn:300", 8), 50, "dataset drawn:200, and not drawn:300"),
        (DATA, 20, "images_per_file 50, and not 20"),
    ]:
        with pytest.raises(UserError, match=words):
            preparation.prepare(data, 3, prepared, count)
    (tmp_path / "train-00000.tfrecord").touch()
    with pytest.raises(UserError, match="without records.json"):
        preparation.prepare(DATA, 3, tmp_path, 50)
    for text in ('{"settings": 3}', "[]", "[" * 100_000):
        (tmp_path / "records.json").write_text(text)
        with pytest.raises(UserError, match="cannot be read"):
            preparation.prepare(DATA, 3, tmp_path, 50)
    with pytest.raises(UserError, match="records.json' cannot be read"):
        (prepared / "records.json").rename(prepared / "kept")
        try:
            (prepared / "records.json").write_text("[]")
            records.Records(prepared, "train", 3)
        finally:
            (prepared / "kept").rename(prepared / "records.json")


def test_two_at_once_and_ctrl_c(tmp_path):
    options = ["--dataset=drawn:100000", "--images_per_file=500", f"--output={tmp_path}"]
    first = start("prepare", *options)
    end = time.monotonic() + 60
    while not content(tmp_path):
        assert first.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    assert_one_line(call("prepare", *options), "another process is writing")
    first.send_signal(signal.SIGINT)
    _, stderr = first.communicate(timeout=60)
    assert first.returncode == 130 and "Traceback" not in stderr, stderr
    assert not list(tmp_path.glob(".partial-*"))


def test_the_disk_ends_in_the_middle_of_a_file(prepared, tmp_path):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))

    result = run("prepare", *OPTIONS, f"--output={tmp_path}", preexec_fn=limit)
    assert_one_line(result, "could not write to --output", "finished files are kept")
    assert not content(tmp_path) and not list(tmp_path.glob(".partial-*"))
    assert call("prepare", *OPTIONS, f"--output={tmp_path}").returncode == 0
    assert content(tmp_path) == content(prepared)


def test_too_little_room_is_seen_before(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(UserError, match="1,000 bytes free, and the records need"):
        preparation.prepare(DATA, 3, tmp_path, 50)


def test_nowhere_to_write(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to --output"):
        preparation.prepare(DATA, 3, tmp_path / "file" / "x", 50)
