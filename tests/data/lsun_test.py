"""LSUN's databases, as they are published."""

import io

import numpy as np
import pytest

from prsr.data import decoding, letters, pipeline, preparation, records, sources
from prsr.hparams import DataHparams
from prsr.system.errors import UserError

DATA = DataHparams(dataset="drawn:200", image_size=8)


def encoded(index, kind="JPEG"):
    file = io.BytesIO()
    letters.render(index).save(file, kind)
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


def images(folder, split):
    return np.concatenate(list(records.Records(folder, split, 3).blocks(64).as_numpy_iterator()))


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
    with pytest.raises(UserError, match="data.mdb' as an LMDB .*truncated"):
        sources.open_source(f"lmdb:{tmp_path / 'lmdb'}", "auto", 3)
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match="as an LMDB database"):
        sources.open_source(f"lmdb:{tmp_path / 'lmdb'}", "auto", 3)


def test_databases_that_are_not_lsun(tmp_path):
    with pytest.raises(UserError, match="expected LSUN's NAME_train_lmdb"):
        sources.open_source(f"lmdb:{tmp_path}", "auto", 3)
    for name in ("bedroom_train_lmdb", "tower_train_lmdb", "bedroom_val_lmdb"):
        write_lmdb(tmp_path / name, 3)
    with pytest.raises(UserError, match="bedroom_train_lmdb' and 'tower_train_lmdb'"):
        sources.open_source(f"lmdb:{tmp_path}", "auto", 3)


def test_of_sr3_s_database_the_originals_are_taken(tmp_path):
    """As `prepare_data.py --lmdb` writes it: inputs, blurred targets, targets, and their count."""
    lmdb = pytest.importorskip("lmdb")
    with (
        lmdb.open(str(tmp_path / "lmdb"), map_size=2**28) as database,
        database.begin(write=True) as transaction,
    ):
        for i in range(8):
            for j, kind in enumerate(("lr_8", "hr_32", "sr_8_32")):
                transaction.put(f"{kind}_{i:05d}".encode(), encoded(10 * i + j, "PNG"))
        transaction.put(b"length", b"8")
    source = sources.open_source(f"lmdb:{tmp_path / 'lmdb'}", "auto", 3)
    names = sorted(name for split in source.splits.values() for name in split)
    assert names == [f"hr_32_{i:05d}" for i in range(8)]
    for split, found in source.splits.items():
        for name, read in zip(found, source.arrays(split)):
            index = 10 * int(name[-5:]) + 1
            np.testing.assert_array_equal(read(), np.asarray(letters.render(index)))
