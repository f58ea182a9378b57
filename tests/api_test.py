"""`import prsr`: the same images from a run, its export and the command."""

import shutil
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import prsr
from prsr import api, images
from prsr.data import faces
from prsr.hparams import Sampling
from prsr.sampling import samplers, saved_model
from prsr.system.errors import UserError
from prsr.workdir import pretrained
from prsr.workdir.directory import Workdir

RNG = np.random.default_rng(3)
LOW_RES = RNG.integers(0, 256, (2, 2, 2, 3), dtype=np.uint8)
PICTURE = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["run", "export"])
def model(request, tiny_run, tiny_export):
    return prsr.load({"run": tiny_run, "export": tiny_export}[request.param])


def test_the_samples_of_an_array_are_those_of_the_command_s_sampler(model, tiny_run):
    sampler = samplers.sampler(Workdir(tiny_run).load_model()[1])
    expected = samplers.draw_samples(sampler, LOW_RES, 3, 7, Sampling(1.3), 6)
    np.testing.assert_array_equal(model.sample(LOW_RES, 3, tau=1.3, seed=7), expected)
    np.testing.assert_array_equal(model.sample(LOW_RES[1], 3, tau=1.3, seed=7), expected[1])


def test_guidance_and_matching_are_those_of_the_command_s_sampler(model, tiny_run):
    sampler = samplers.sampler(Workdir(tiny_run).load_model()[1])
    for match_input in ("rows", "end"):
        sampling = Sampling(1.2, 3.0, match_input)
        expected = samplers.draw_samples(sampler, LOW_RES, 2, 1, sampling, 6)
        drawn = model.sample(LOW_RES, 2, tau=1.2, guidance=3, match_input=match_input)
        np.testing.assert_array_equal(drawn, expected)
    plain = model.sample(LOW_RES, 2, tau=1.2)
    off = [
        np.abs(np.float32(images.downsample(d[:, 0], 4)) - LOW_RES).mean() for d in (drawn, plain)
    ]
    assert off[0] < 0.2 * off[1]
    for options in ({"guidance": -1.0}, {"guidance": np.inf}, {"match_input": "rows of nonsense"}):
        with pytest.raises(ValueError, match=next(iter(options))):
            model.sample(LOW_RES, **options)


def test_a_pil_image_gives_pil_images(model):
    samples = model.sample(Image.fromarray(PICTURE), 2)
    assert all(isinstance(s, Image.Image) and s.size == (8, 8) for s in samples)
    np.testing.assert_array_equal(np.stack(samples), model.sample(PICTURE, 2))
    turned = Image.fromarray(PICTURE).transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6
    np.testing.assert_array_equal(model.low_res(turned), model.low_res(PICTURE))


def test_pictures_are_reduced_as_in_training(model):
    square = PICTURE[:, 10:50]
    expected = images.downsample(images.resize(square, (8, 8)), 4)
    np.testing.assert_array_equal(model.low_res(PICTURE), expected)
    np.testing.assert_array_equal(model.low_res(LOW_RES[0]), LOW_RES[0])


def test_log_prob(model, tiny_run):
    high_res = RNG.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    low_res = np.tile(LOW_RES, (10, 1, 1, 1))
    expected = Workdir(tiny_run).load_model()[1].log_likelihood(low_res, high_res)
    np.testing.assert_allclose(model.log_prob(low_res, high_res), expected, rtol=1e-5)


def test_inspect(model, tiny_run):
    """More images than are looked into at once, all of them and a part."""
    high_res = RNG.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    low_res = np.tile(LOW_RES, (10, 1, 1, 1))
    found = model.inspect(low_res, high_res)
    expected = Workdir(tiny_run).load_model()[1].inspect(low_res, high_res)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4, err_msg=name)
    nats = found["joint_nats"].sum((1, 2, 3))
    np.testing.assert_allclose(-nats, model.log_prob(low_res, high_res), rtol=1e-5)
    part = model.inspect(low_res[:1], high_res[:1], box=(1, 2, 8, 3))
    assert part["joint_logits"].shape == (1, 1, 7, 3, 256)
    np.testing.assert_allclose(part["prior_nats"], found["prior_nats"][:1, 2:3, 1:8], atol=1e-4)


@pytest.mark.parametrize("match_input", ["off", "end", "rows"])
def test_an_image_is_continued(tiny_run, match_input):
    model = prsr.load(tiny_run)
    options = {"num_samples": 3, "guidance": 2, "match_input": match_input}
    first = model.sample(LOW_RES[0], 1, guidance=2)[0]
    given = first.astype(int)
    given[5:] = -1
    drawn = model.sample(LOW_RES[0], seed=2, given=given, **options)
    assert (drawn[:, :5] == first[:5]).all() and (drawn[:, 5:] != first[5:]).any()
    sampler = samplers.sampler(Workdir(tiny_run).load_model()[1])
    sampling = Sampling(1.1, 2.0, match_input)
    expected = samplers.draw_samples(sampler, LOW_RES, 3, 2, sampling, 16, given=given)
    np.testing.assert_array_equal(drawn, expected[0])
    np.testing.assert_array_equal(model.sample(LOW_RES, seed=2, given=given, **options), expected)


def test_what_cannot_be_continued(tiny_run, tiny_export, baseline_runs):
    given = np.full((8, 8, 3), -1)
    for wrong in (given[:7], given.astype(float), given - 1, given + 257, [[0]]):
        with pytest.raises(ValueError, match=r"given must be an array of \[8, 8, 3\] integers"):
            prsr.load(tiny_run).sample(LOW_RES, given=wrong)
    with pytest.raises(ValueError, match="an export cannot complete"):
        prsr.load(tiny_export).sample(LOW_RES, given=given)
    baseline = prsr.load(baseline_runs / "cross_entropy")
    with pytest.raises(ValueError, match="only a pixel_recursive model can complete"):
        baseline.sample(LOW_RES, given=given)
    with pytest.raises(ValueError, match="only a pixel_recursive model has A and B"):
        baseline.inspect(LOW_RES, np.zeros((2, 8, 8, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("inspect", [LOW_RES, LOW_RES], "high_res must be"),
        ("inspect", [LOW_RES, np.zeros((2, 8, 8, 3), np.uint8), (0, 0, 9, 1)], "box must be"),
        ("inspect", [LOW_RES, np.zeros((2, 8, 8, 3), np.uint8), (3, 0, 3, 1)], "box must be"),
        ("sample", [LOW_RES[0].astype(float)], "uint8"),
        ("sample", [LOW_RES[0, 0]], "uint8"),
        ("sample", [np.zeros((2, 8, 8, 3), np.uint8)], "image must be"),
        ("sample", [LOW_RES[:0]], "image must be"),
        ("sample", ["me.png"], "PIL image or a NumPy array, not str"),
        ("sample", [np.zeros((1, 9, 3), np.uint8)], "9x1 is smaller than 2x2"),
        ("sample", [LOW_RES, 0], "num_samples"),
        ("sample", [LOW_RES, 1.5], "num_samples"),
        ("sample", [LOW_RES, 1, "1"], "tau"),
        ("sample", [LOW_RES, 1, 1.0, 1.5], "seed"),
        ("sample", [LOW_RES, 1, np.nan], "tau"),
        ("log_prob", [LOW_RES, LOW_RES], "high_res must be"),
        ("log_prob", [LOW_RES, np.zeros((3, 8, 8, 3), np.uint8)], "2 low_res for 3"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(model, name, arguments, words):
    with pytest.raises(ValueError, match=words):
        getattr(model, name)(*arguments)


def test_a_picture_that_is_cut_short(tiny_run, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:500])
    with pytest.raises(ValueError, match="not a readable image"):
        prsr.load(tiny_run).low_res(Image.open(tmp_path / "cut.png"))


def test_the_model_of_the_package_finds_a_face():
    pytest.importorskip("mtcnn")
    model = prsr.load("faces")
    assert (model.low_shape, model.high_shape) == ((8, 8, 3), (32, 32, 3))
    grace = pretrained.workdir("faces").path / "examples" / "grace_hopper.jpg"
    photograph = Image.new("RGB", (400, 400), "gray")
    photograph.paste(Image.open(grace), (150, 120))
    aligned = faces.align(np.asarray(photograph), faces.detector()(np.asarray(photograph))[1])
    expected = model.low_res(aligned)
    np.testing.assert_array_equal(model.low_res(photograph, align=True), expected)
    assert np.abs(model.low_res(photograph).astype(int) - expected).mean() > 10
    samples = model.sample(photograph, seed=3, align=True)
    np.testing.assert_array_equal(samples[0], model.sample(expected, seed=3)[0])


def test_only_models_of_faces_align(model):
    with pytest.raises(prsr.UserError, match="models of faces"):
        model.sample(PICTURE, align=True)


def test_a_regression_predicts_and_has_no_probability(baseline_runs, tmp_path):
    model = prsr.load(baseline_runs / "regression")
    assert model.sample(LOW_RES).shape == (2, 1, 8, 8, 3)
    with pytest.raises(ValueError, match="no probabilities"):
        model.log_prob(LOW_RES, np.zeros((2, 8, 8, 3), np.uint8))
    hparams, network = Workdir(baseline_runs / "regression").load_model()
    with pytest.raises(prsr.UserError, match="not regression"):
        saved_model.export(hparams, network, tmp_path)


def test_what_is_no_model(tmp_path, tiny_export):
    with pytest.raises(prsr.UserError, match="not a run directory .*an export .*faces"):
        prsr.load(tmp_path / "none")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(prsr.UserError, match="not written by prsr.export"):
        prsr.load(tmp_path / "foreign")
    shutil.copytree(tiny_export, tmp_path / "export")
    (tmp_path / "export" / "1" / "saved_model.pb").write_bytes(b"broken")
    with pytest.raises(prsr.UserError, match="cannot read the export"):
        prsr.load(tmp_path / "export")


def test_a_newer_version_is_preferred(tmp_path, tiny_export):
    shutil.copytree(tiny_export / "1", tmp_path / "2")
    shutil.copytree(tiny_export / "1", tmp_path / "10")
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"broken")
    assert prsr.load(tmp_path).low_shape == prsr.load(tmp_path / "10").low_shape == (2, 2, 3)


def test_importing_is_quick_and_says_its_version():
    program = "import sys, prsr; print(prsr.__version__, 'tensorflow' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.split() == [prsr.__version__, "False"]


def test_keras_as_others_have_set_it_is_refused_in_a_line(tiny_run, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(UserError, match="not torch: set KERAS_BACKEND=tensorflow"):
        prsr.load(tiny_run)


def test_other_formats_of_keras_do_not_matter(model, tiny_run):
    expected = model.sample(LOW_RES)
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    try:
        np.testing.assert_array_equal(prsr.load(tiny_run).sample(LOW_RES), expected)
    finally:
        keras.config.set_image_data_format("channels_last")
        keras.config.set_floatx("float32")


@pytest.mark.parametrize("taken", [{}, {"guidance": 0}, {"guidance": 0, "match_input": 0}])
def test_exports_of_older_versions_draw_as_far_as_they_can(monkeypatch, tiny_run, taken):
    hparams = Workdir(tiny_run).read_hparams()

    def sample(low_res, seed, tau, **named):
        assert named.keys() == taken.keys()
        return {"high_res": tf.zeros((len(low_res), 8, 8, 3), tf.uint8)}

    specs = {"guidance": tf.TensorSpec((), tf.float32), "match_input": tf.TensorSpec((), tf.string)}
    sample.structured_input_signature = ((), {name: specs[name] for name in taken})
    export = types.SimpleNamespace(signatures={"sample": sample})
    monkeypatch.setattr(saved_model, "load", lambda path: (hparams, export))
    model = api.Model(*api._export("old"))
    assert model.sample(LOW_RES).shape == (2, 1, 8, 8, 3)
    for name, value in {"guidance": 2.0, "match_input": "end"}.items():
        if name in taken:
            model.sample(LOW_RES, **{name: value})
        else:
            with pytest.raises(ValueError, match=f"without {name}; export the model again"):
                model.sample(LOW_RES, **{name: value})


def test_a_place_below_one_s_home(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").symlink_to(tiny_run)
    assert prsr.load("~/run").high_shape == (8, 8, 3)
