"""python -m prsr.sample as its own process."""

import json

import numpy as np
import pytest
from PIL import Image

import prsr
from prsr import images
from prsr.data import inputs
from prsr.sampling import samplers
from tests.conftest import assert_one_line, call


def picture(size, seed=0):
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (3, 3, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def read(path):
    return np.asarray(Image.open(path))


def sample(workdir, *arguments):
    result = call("sample", f"--workdir={workdir}", *arguments)
    assert result.returncode == 0, result.stderr
    return result


def test_a_folder_of_one_s_own(tiny_run, tmp_path):
    """Small, large and broken images: the run's model is of 8x8 images from 2x2."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    picture((2, 2)).save(tmp_path / "in" / "tiny.png")
    picture((60, 40), 1).save(tmp_path / "in" / "deep" / "photo.jpg")
    picture((5, 5), 2).save(tmp_path / "in" / "middling.bmp")
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    out = tmp_path / "out"
    result = sample(tiny_run, f"--input={tmp_path / 'in'}", f"--output={out}", "--num_samples=3")
    assert "tiny: used as is, 2x2" in result.stdout
    assert "deep-photo: 60x40, center crop to 40x40, reduced to 8x8" in result.stdout
    assert "middling: 5x5, reduced to 2x2" in result.stdout
    assert "skipped 1 of 4 images: broken.png" in result.stderr
    assert "nats per image" in result.stdout
    names = [f"{stem}_{k}.png" for stem in ("deep-photo", "middling", "tiny") for k in (1, 2, 3)]
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "grid.png", "nats.json"])
    assert all(read(out / name).shape == (8, 8, 3) for name in names)
    report = {e["name"]: e["nats_per_image"] for e in json.loads((out / "nats.json").read_text())}
    assert "original" in report["deep-photo"] and "original" not in report["tiny"]
    assert all(len(scores["samples"]) == 3 for scores in report.values())


@pytest.mark.slow
def test_samples_depend_on_seed_and_image_alone(tiny_run, tmp_path):
    """Not on the batch, nor on what else is in the folder."""
    for i in range(3):
        picture((2, 2), i).save(tmp_path / f"{i}.png")
    one, two, three = tmp_path / "one", tmp_path / "two", tmp_path / "three"
    devices = "--num_replicas=2"  # which share each batch
    sample(tiny_run, f"--input={tmp_path}", f"--output={one}", "--num_samples=2", devices)
    sample(
        tiny_run, f"--input={tmp_path / '1.png'}", f"--output={two}", "--num_samples=2",
        "--batch_size=1",
    )  # fmt: skip
    sample(tiny_run, f"--input={tmp_path / '1.png'}", f"--output={three}", "--seed=2")
    for k in (1, 2):
        np.testing.assert_array_equal(read(one / f"1_{k}.png"), read(two / f"1_{k}.png"))
        assert not np.array_equal(read(one / f"1_{k}.png"), read(three / f"1_{k}.png"))
    assert not np.array_equal(read(one / "1_1.png"), read(one / "1_2.png"))


@pytest.mark.slow
def test_greedy(tiny_run, tmp_path):
    picture((2, 2)).save(tmp_path / "a.png")
    arguments = [f"--input={tmp_path / 'a.png'}", "--num_samples=2"]
    sample(tiny_run, *arguments, f"--output={tmp_path / 'one'}", "--greedy")
    sample(tiny_run, *arguments, f"--output={tmp_path / 'two'}", "--tau=inf", "--seed=9")
    np.testing.assert_array_equal(read(tmp_path / "one/a_1.png"), read(tmp_path / "two/a_2.png"))


def test_an_image_is_continued(tiny_run, tmp_path):
    """Transparent parts are drawn, above, between and below; all else stays."""
    picture((2, 2)).save(tmp_path / "a.png")
    given = np.full((8, 8, 4), 77, np.uint8)
    given[..., 3] = np.random.default_rng(0).choice([0, 128, 255], (8, 8))
    Image.fromarray(given).save(tmp_path / "given.png")
    arguments = [f"--input={tmp_path / 'a.png'}", f"--output={tmp_path}", "--num_samples=2"]
    arguments += [f"--given={tmp_path / 'given.png'}", "--match_input=end", "--seed=4"]
    sample(tiny_run, *arguments)
    expected = np.where(given[..., 3:] == 255, given[..., :3].astype(int), -1)
    drawn = prsr.load(tiny_run).sample(
        read(tmp_path / "a.png"), 2, seed=4, match_input="end", given=expected
    )
    for k in range(2):
        np.testing.assert_array_equal(read(tmp_path / f"a_{k + 1}.png"), drawn[k])
    assert (drawn[:, given[..., 3] == 255] == 77).all()


def test_without_input_it_takes_the_test_split(baseline_runs, tmp_path):
    arguments = [f"--output={tmp_path}", "--num_images=2", "--num_samples=1"]
    sample(baseline_runs / "cross_entropy", *arguments)
    report = json.loads((tmp_path / "nats.json").read_text())
    assert len(report) == 2 and "original" in report[0]["nats_per_image"]
    height, width = read(tmp_path / "grid.png").shape[:2]
    assert width > 4 * 128 and height > 2 * 128  # input, bicubic, sample, original


def test_the_grid_shows_input_bicubic_and_original(baseline_runs, tmp_path):
    """The pictures themselves, found in the sheet where they should be."""
    picture((8, 8)).save(tmp_path / "a.png")
    arguments = [f"--input={tmp_path / 'a.png'}", f"--output={tmp_path}", "--num_samples=1"]
    sample(baseline_runs / "cross_entropy", *arguments)
    grid = read(tmp_path / "grid.png")
    original = read(tmp_path / "a.png")
    low_res = np.asarray(images.downsample(original, 4))
    cells = {0: low_res, 1: images.upsample_bicubic(low_res, 4), 2: read(tmp_path / "a_1.png")}
    for column, expected in {**cells, 3: original}.items():
        left = 6 + column * (128 + 6)
        cell = grid[28 : 28 + 128, left : left + 128]
        step = 128 // len(expected)
        np.testing.assert_array_equal(cell[step // 2 :: step, step // 2 :: step], expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input=/no/such.png", "--output=OUT"], ["/no/such.png", "no such file or folder"]),
        (["--input=IN/empty", "--output=OUT"], ["contains no images"]),
        (["--input=IN/small.png", "--output=OUT"], ["smaller than 2x2"]),
        (["--input=IN/broken.jpg", "--output=OUT"], ["not a readable image"]),
        (["--input=IN/good.png", "--output=OUT", "--tau=0"], ["tau"]),
        (["--input=IN/good.png", "--output=OUT", "--tau=nan"], ["tau"]),
        (["--input=IN/good.png", "--output=IN/good.png"], ["could not write to"]),
        (["--input=IN/good.png", "--output=OUT", "--workdir=IN"], ["not a run directory"]),
        (["--input=IN/good.png", "--given=IN/broken.jpg"], ["not a readable image"]),
        (["--input=IN/good.png", "--given=IN/none.png"], ["No such file"]),
        (["--input=IN/good.png", "--given=IN/good.png"], ["has 2x2 pixels", "8x8"]),
        (["--input=IN/good.png", "--given=IN/opaque.png"], ["no transparent part"]),
    ],
)
def test_what_cannot_work_ends_in_one_line(tiny_run, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    picture((2, 2)).save(tmp_path / "good.png")
    picture((8, 8)).save(tmp_path / "opaque.png")
    picture((1, 9)).save(tmp_path / "small.png")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    arguments = [
        a.replace("=IN", f"={tmp_path}").replace("=OUT", f"={tmp_path / 'out'}") for a in arguments
    ]
    assert_one_line(call("sample", f"--workdir={tiny_run}", *arguments), *words)


def test_no_input_to_align_is_said_before_anything_is_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "eye_finder", lambda hparams: lambda image: (0, None))
    monkeypatch.setattr(samplers, "sampler", lambda *_, **__: pytest.fail("it compiles"))
    where = tmp_path / "none.png"
    result = call("sample", "--model=faces", "--align", f"--input={where}", f"--output={tmp_path}")
    assert_one_line(result, "none.png", "no such file")


def test_an_output_folder_may_be_the_input_folder(baseline_runs, tmp_path):
    """The second time it draws the same images, and no samples of samples."""
    folder = tmp_path / "in"
    folder.mkdir()
    picture((8, 8)).save(folder / "what? 50%.png")
    workdir = baseline_runs / "cross_entropy"
    arguments = [f"--input={folder}", f"--output={folder}", "--num_samples=1"]
    first = sample(workdir, *arguments)
    names = {path.name for path in folder.iterdir()}
    assert names == {"what? 50%.png", "what%3F 50%_1.png", "grid.png", "nats.json"}
    again = sample(workdir, *arguments)
    assert {path.name for path in folder.iterdir()} == names and again.stdout == first.stdout
    assert "skipped 2 images that this program wrote" in again.stderr


def test_paths_of_a_flagfile_are_expanded(baseline_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").symlink_to(baseline_runs / "cross_entropy")
    picture((8, 8)).save(tmp_path / "a.png")
    lines = ["--workdir=~/run", "--input=$HOME/a.png", "--output=~/out", "--num_samples=1"]
    (tmp_path / "a.flags").write_text("\n".join(lines))
    result = call("sample", f"--flagfile={tmp_path / 'a.flags'}")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "a_1.png").exists()
    assert not any("~" in str(path) for path in tmp_path.iterdir())


@pytest.mark.parametrize("dataset", ["folder:~/in", "zip:~/b.zip,~/a.zip", "records:~/in"])
def test_paths_of_a_data_set_are_expanded(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    result = call("prepare", f"--dataset={dataset}", "--output=~/out")
    assert_one_line(result, str(tmp_path / ("b.zip" if "zip" in dataset else "in")))
