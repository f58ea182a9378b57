"""LSUN's databases, as they are published."""

import io

import numpy as np
import pytest

from prsr.data import decoding, letters, preparation, preprocessing, sources
from prsr.hparams import DataHparams
from prsr.system.errors import UserError
from tests.conftest import TINY, beside_the_project, call, succeed
from tests.data.pictures import letter, load


def write_lmdb(path, values):
    """A database of `values`, a dict from keys to encoded images."""
    lmdb = pytest.importorskip("lmdb")
    path.mkdir(parents=True)
    with (
        lmdb.open(str(path), map_size=2**28) as database,
        database.begin(write=True) as transaction,
    ):
        for key, value in values.items():
            transaction.put(key.encode(), value)


def pictures(first, last):
    """As LSUN's: keys of forty hexadecimal digits, values of several formats."""
    kinds = ["JPEG", "WEBP"]
    return {f"{i * 7919:040x}": letter(i, kinds[i % 2]) for i in range(first, last)}


@pytest.fixture
def lsun(tmp_path):
    """Both databases of a category."""
    write_lmdb(tmp_path / "lsun" / "bedroom_train_lmdb", pictures(0, 30))
    write_lmdb(tmp_path / "lsun" / "bedroom_val_lmdb", pictures(100, 107))
    return tmp_path / "lsun"


def opened(place, channels=3):
    return sources.open_source(f"lmdb:{place}", "auto", channels)


def test_a_category_and_its_records_hold_the_same_images(lsun, tmp_path):
    """LSUN's validation images serve as test images, too."""
    data = DataHparams(f"lmdb:{lsun}", 8)
    files = [decoding.decode(io.BytesIO(content), 3) for content in pictures(0, 30).values()]
    expected = [preprocessing.stored(image, data) for image in files]
    np.testing.assert_array_equal(load(data).images, expected)
    assert preparation.prepare(data, 3, tmp_path / "records", 8)["train"] == (4, 30, 0)
    data = DataHparams(f"records:{tmp_path / 'records'}", 8)
    np.testing.assert_array_equal(load(data).images, expected)
    assert len(load(data, "test")) == len(load(data, "validation")) == 7


def test_a_database_may_be_opened_twice_in_a_process(lsun):
    """LMDB itself refuses to open a database twice."""
    first, second = opened(lsun), opened(lsun, 1)
    for source, channels in ((first, 3), (second, 1)):
        assert next(source.arrays("validation"))().shape == (128, 128, channels)


@pytest.mark.parametrize("genuine", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_several_commands_read_a_database_in_one_process(genuine, request, tmp_path):
    pytest.importorskip("lmdb")
    place = "bedrooms/lsun_lmdb"
    folder = beside_the_project(place) if genuine else request.getfixturevalue("lsun")
    run, out = f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'out'}"
    succeed(call("train", run, *TINY, f"--dataset=lmdb:{folder}", "--train_steps=2"))
    succeed(call("train", run, "--train_steps=3", "--sample_images=0"))
    scored = ["--num_images=2", "--tau=1", "--batch_size=2", "--baselines=bicubic,nn"]
    succeed(call("evaluate", run, out, *scored))
    succeed(call("figures", run, out, "--figures=bits", "--num_images=2"))
    assert (tmp_path / "out").is_dir()


def test_a_single_database_is_split_by_its_keys(tmp_path):
    write_lmdb(tmp_path / "lmdb", pictures(0, 40))
    source = opened(tmp_path / "lmdb")
    names = [name for split in ("train", "validation", "test") for name in source.names(split)]
    assert len(names) == len(set(names)) == 40 and len(source.names("test")) >= 1
    for read in source.arrays("train", 2, 5):
        assert read().shape == (128, 128, 3)


def test_truncated_and_foreign_databases_are_refused(tmp_path):
    """LMDB itself would crash the process."""
    write_lmdb(tmp_path / "lmdb", pictures(0, 40))
    file = tmp_path / "lmdb" / "data.mdb"
    file.write_bytes(file.read_bytes()[:-9000])
    with pytest.raises(UserError, match="data.mdb.*truncated"):
        opened(tmp_path / "lmdb")
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match="data.mdb"):
        opened(tmp_path / "lmdb")


def test_folders_without_one_lsun_category_are_refused(tmp_path):
    with pytest.raises(UserError, match="NAME_train_lmdb"):
        opened(tmp_path)
    for name in ("bedroom_train_lmdb", "tower_train_lmdb", "bedroom_val_lmdb"):
        write_lmdb(tmp_path / name, pictures(0, 3))
    with pytest.raises(UserError, match="bedroom_train_lmdb.*tower_train_lmdb"):
        opened(tmp_path)


def test_only_the_originals_of_sr3_s_database_are_read(tmp_path):
    """The database holds what `prepare_data.py --lmdb` writes: three kinds, and their count."""
    kinds = ("lr_8", "hr_32", "sr_8_32")
    values = {
        f"{kind}_{i:05d}": letter(10 * i + j, "PNG")
        for i in range(8)
        for j, kind in enumerate(kinds)
    }
    write_lmdb(tmp_path / "lmdb", values | {"length": b"8"})
    source = opened(tmp_path / "lmdb")
    names = sorted(name for split in source.splits.values() for name in split)
    assert names == [f"hr_32_{i:05d}" for i in range(8)]
    for split, found in source.splits.items():
        for name, read in zip(found, source.arrays(split)):
            index = 10 * int(name[-5:]) + 1
            np.testing.assert_array_equal(read(), np.asarray(letters.render(index)))
