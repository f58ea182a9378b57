"""A run directory's settings and weights, read again."""

import dataclasses
import fcntl
import json
import shutil
import unicodedata
import zipfile

import numpy as np
import pytest
from PIL import Image

from prsr.data import sources, splits
from prsr.hparams import DataHparams, Hparams, ModelHparams
from prsr.models.build import build_model
from prsr.system.errors import UserError
from prsr.workdir.directory import Workdir
from tests.conftest import assert_one_line, call, python


@pytest.mark.parametrize("setting", [{"prior_width": 9}, {"blocks_per_stage": 0}])
def test_missing_weights_and_those_of_another_model_are_refused(tiny_run, tmp_path, setting):
    """Keras itself would load the layers that it has a place for."""
    settings = json.loads((tiny_run / "settings.json").read_text())
    settings["hparams"]["model"] |= setting
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    arguments = [f"--workdir={tmp_path}", f"--output={tmp_path / 'o'}"]
    assert_one_line(call("sample", *arguments), "no weights yet")
    shutil.copy(tiny_run / "model.weights.h5", tmp_path)
    assert_one_line(call("sample", *arguments), "model.weights.h5")


def test_unreadable_settings_are_refused_and_kept(tiny_run, tmp_path):
    copy = shutil.copytree(tiny_run, tmp_path / "copy")
    wrong_type = (tiny_run / "settings.json").read_text().replace(": 4,", ': "4",', 1)
    for text in ("{", "[]", '{"hparams": {"model": {"wdith": 3}}}', wrong_type):
        (copy / "settings.json").write_text(text)
        with pytest.raises(UserError, match="settings.json"):
            Workdir(copy).read_hparams()
    assert_one_line(call("train", f"--workdir={copy}"), "settings.json")
    assert (copy / "settings.json").read_text() == text


def test_metrics_after_a_checkpoint_are_dropped(tmp_path):
    """A line that was half written when the run was killed is dropped as well."""
    workdir = Workdir(tmp_path)
    assert workdir.read_metrics() == []
    for step in (1, 2, 2, 3):
        workdir.append_metrics({"step": step})
    with open(workdir.metrics, "a") as file:
        file.write('{"step": 1, "tra')
    workdir.forget_metrics_after(2)
    assert workdir.read_metrics() == [{"step": 1}, {"step": 2}, {"step": 2}]


def test_weights_are_kept_when_there_is_no_room(tmp_path, monkeypatch):
    hparams = Hparams(ModelHparams("regression", 1, 1, 0, 1), DataHparams(image_size=2))
    model, workdir = build_model(hparams), Workdir(tmp_path)
    workdir.save_weights(model)
    kept = workdir.weights.read_bytes()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(OSError, match="model.weights.h5"):
        workdir.save_weights(model)
    assert workdir.weights.read_bytes() == kept


def photographs(folder, names):
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i % 256, i // 256, 9)).save(path)
    return folder


@pytest.fixture
def begun(tmp_path):
    """A run directory with the digest of 60 photographs of a folder."""
    folder = photographs(tmp_path / "my_images", [f"\u00fc/{i}.png" for i in range(60)])
    photographs(folder, ["0.png", "1.png"])
    hparams = Hparams(data=DataHparams(f"folder:{folder}", image_size=8))
    workdir = Workdir(tmp_path / "run")
    workdir.write_digest(workdir.open_images(hparams)[1])
    return workdir, hparams, folder


def with_dataset(hparams, dataset):
    return dataclasses.replace(hparams, data=dataclasses.replace(hparams.data, dataset=dataset))


def test_a_macos_zip_of_the_run_s_folder_has_its_splits(begun, tmp_path, capsys):
    """Its names are decomposed, and it does not say that they are UTF-8."""
    workdir, hparams, folder = begun
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*.png"):
            name = f"B\u00e4ume/{file.relative_to(folder).as_posix()}"
            archive.write(file, unicodedata.normalize("NFD", name))
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):  # bit 11 of the flags
        start = content.find(mark)
        while start >= 0:
            content[start + place + 1] &= ~0x08
            start = content.find(mark, start + 4)
    path.write_bytes(content)
    assert not zipfile.ZipFile(path).infolist()[0].flag_bits & 0x800
    _, digest = workdir.open_images(with_dataset(hparams, f"zip:{path}"))
    assert capsys.readouterr().err == "" and len(digest) == 62


def test_images_moved_to_a_test_folder_are_not_called_held_out(begun, tmp_path, capsys):
    """Their paths have changed, so whether the run was trained on them is unknown."""
    workdir, hparams, folder = begun
    trained = sources.open_source(hparams.data.dataset, "auto", 3).names("train")
    other = photographs(tmp_path / "other", ["train/a.png", "val/b.png"])
    for name in trained[:5]:
        (other / "test" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, other / "test" / name)
    workdir.open_images(with_dataset(hparams, f"folder:{other}"))
    assert "none of the 62 images" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "evaluate", "sample", "figures"])
def test_commands_refuse_test_images_that_were_trained_on(tiny_run, tmp_path, command):
    copy = shutil.copytree(tiny_run, tmp_path / "copy")
    digest = splits.Digest.load(copy / "splits.npz")
    test = digest.hashes["test"]
    dataclasses.replace(digest, trained=np.union1d(digest.trained, test)).save(copy / "splits.npz")
    arguments = ["--train_steps=9"] if command == "train" else [f"--output={tmp_path / 'out'}"]
    assert_one_line(call(command, f"--workdir={copy}", *arguments), "was trained on", "drawn:60")


def test_records_have_the_digest_of_their_source(prepared, tmp_path):
    hparams = Hparams(data=DataHparams(f"records:{prepared}", image_size=8))
    workdir = Workdir(tmp_path)
    workdir.write_digest(workdir.open_images(with_dataset(hparams, "drawn:200"))[1])
    _, again = workdir.open_images(hparams)
    assert again.changes(splits.Digest.load(workdir.splits)) == [] and len(again) == 200


READ_WEIGHTS = """
import sys
from prsr import flags
flags.quiet_tensorflow()
from prsr.workdir.directory import Workdir
print(len(Workdir(sys.argv[1]).load_model()[1].weights))
"""


def test_weights_are_read_without_hdf5_s_lock(baseline_runs):
    """Weights load although another process holds the lock."""
    run = baseline_runs / "regression"
    with open(run / "model.weights.h5", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert int(python("-c", READ_WEIGHTS, run)) > 5
