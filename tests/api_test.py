"""`import prsr`: the same images from a run, its export and the command."""

import dataclasses
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

import prsr
from prsr import api, images
from prsr.data import faces
from prsr.hparams import Sampling
from prsr.sampling import samplers, saved_model
from prsr.workdir import pretrained
from prsr.workdir.directory import Workdir
from tests.conftest import call, other_keras_settings, python, succeed

RNG = np.random.default_rng(3)
LOW_RES = RNG.integers(0, 256, (2, 2, 2, 3), dtype=np.uint8)
HIGH_RES = RNG.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
PICTURE = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def trained(tiny_run):
    """A loaded run, which draws without XLA."""
    model = prsr.load(tiny_run)
    model._sampler = samplers.Sampler(model._network, jit_compile=False)
    return model


@pytest.fixture(scope="module")
def exported(tiny_export):
    return prsr.load(tiny_export)


@pytest.fixture(scope="module", params=["trained", "exported"])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def network(tiny_run):
    return Workdir(tiny_run).load_model()[1]


def test_a_run_and_an_export_load_as_two_classes(trained, exported):
    assert type(trained) is api.TrainedModel and type(exported) is api.ExportedModel
    assert trained.hparams == exported.hparams
    assert (trained.low_shape, trained.high_shape) == ((2, 2, 3), (8, 8, 3))


@pytest.mark.parametrize("sampling", [Sampling(1.3), Sampling(1.2, 3.0, True)])
def test_samples_equal_the_command_s(model, network, sampling):
    sampler = samplers.Sampler(network, jit_compile=False)
    expected = samplers.draw_samples(sampler, LOW_RES, 3, 7, sampling, 6)
    options = {"tau": sampling.tau, "guidance": sampling.guidance, "seed": 7}
    options["match_input"] = sampling.match_input
    np.testing.assert_array_equal(model.sample(LOW_RES, 3, **options), expected)
    np.testing.assert_array_equal(model.sample(LOW_RES[1], 3, **options), expected[1])


def test_a_pil_image_gives_pil_images(model):
    samples = model.sample(Image.fromarray(PICTURE), 2)
    assert all(isinstance(s, Image.Image) and s.size == (8, 8) for s in samples)
    np.testing.assert_array_equal(np.stack(samples), model.sample(PICTURE, 2))


def test_images_are_turned_upright_and_reduced_as_in_training(trained):
    square = PICTURE[:, 10:50]
    expected = images.downsample(images.resize(square, (8, 8)), 4)
    np.testing.assert_array_equal(trained.low_res(PICTURE), expected)
    np.testing.assert_array_equal(trained.low_res(LOW_RES[0]), LOW_RES[0])
    turned = Image.fromarray(PICTURE).transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6
    np.testing.assert_array_equal(trained.low_res(turned), expected)


def test_log_prob_and_inspect_equal_the_network_s(model, network):
    """Scores of more images than one batch holds, and of a box, equal the network's."""
    low_res = np.tile(LOW_RES, (10, 1, 1, 1))
    log_prob = model.log_prob(low_res, HIGH_RES)
    np.testing.assert_allclose(log_prob, network.log_likelihood(low_res, HIGH_RES), rtol=1e-5)
    found, expected = model.inspect(low_res, HIGH_RES), network.inspect(low_res, HIGH_RES)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(-found["joint_nats"].sum((1, 2, 3)), log_prob, rtol=1e-5)
    part = model.inspect(low_res[:1], HIGH_RES[:1], box=(1, 2, 8, 3))
    assert part["joint_logits"].shape == (1, 1, 7, 3, 256)
    np.testing.assert_allclose(part["prior_nats"], found["prior_nats"][:1, 2:3, 1:8], atol=1e-4)


@pytest.mark.parametrize("match_input", [False, True])
def test_a_given_part_is_kept_and_the_rest_drawn(trained, match_input):
    """With its own seed a cut sample is completed as before; with another, differently."""
    options = {"num_samples": 3, "guidance": 2, "match_input": match_input}
    first = trained.sample(LOW_RES[0], 1, guidance=2)[0]
    given = first.astype(int)
    given[5:] = -1
    again = trained.sample(LOW_RES[0], 1, guidance=2, given=given)
    np.testing.assert_array_equal(again[0], first)
    drawn = trained.sample(LOW_RES, seed=2, given=given, **options)
    assert (drawn[:, :, :5] == first[:5]).all() and (drawn[0, :, 5:] != first[5:]).any()
    np.testing.assert_array_equal(
        trained.sample(LOW_RES[0], seed=2, given=given, **options), drawn[0]
    )


def test_unusable_given_values_are_rejected(trained, exported, baseline_runs):
    given = np.full((8, 8, 3), -1)
    for wrong in (given[:7], given.astype(float), given - 1, given + 257, [[0]]):
        with pytest.raises(ValueError, match=r"given .*\[8, 8, 3\]"):
            trained.sample(LOW_RES, given=wrong)
    with pytest.raises(ValueError, match="export"):
        exported.sample(LOW_RES, given=given)
    baseline = prsr.load(baseline_runs / "cross_entropy")
    for rejected in (
        lambda: baseline.sample(LOW_RES, given=given),
        lambda: baseline.sample(LOW_RES, guidance=1.0),
        lambda: baseline.inspect(LOW_RES, HIGH_RES[:2]),
    ):
        with pytest.raises(ValueError, match="not cross_entropy"):
            rejected()


@pytest.mark.parametrize(
    ("name", "arguments", "options", "words"),
    [
        ("inspect", [LOW_RES, HIGH_RES[:2], (0, 0, 9, 1)], {}, "box must be"),
        ("sample", [LOW_RES[0].astype(float)], {}, "uint8"),
        ("sample", [HIGH_RES], {}, "image must be"),
        ("sample", [LOW_RES[:0]], {}, "image must be"),
        ("sample", ["me.png"], {}, "PIL image or a NumPy array, not str"),
        ("sample", [np.zeros((1, 9, 3), np.uint8)], {}, "9x1 is smaller than 2x2"),
        ("sample", [LOW_RES, 0], {}, "num_samples"),
        ("sample", [LOW_RES], {"tau": "1"}, "tau"),
        ("sample", [LOW_RES], {"seed": 1.5}, "seed"),
        ("sample", [LOW_RES], {"tau": np.nan}, "tau"),
        ("sample", [LOW_RES], {"guidance": -1.0}, "guidance"),
        ("sample", [LOW_RES], {"match_input": "end"}, "match_input"),
        ("log_prob", [LOW_RES, LOW_RES], {}, "high_res must be"),
        ("log_prob", [LOW_RES, HIGH_RES[:3]], {}, "2 low_res for 3"),
    ],
)
def test_invalid_arguments_are_rejected(trained, name, arguments, options, words):
    with pytest.raises(ValueError, match=words):
        getattr(trained, name)(*arguments, **options)


def test_recommended_sampling_holds_unless_arguments_or_flags_differ(trained, tiny_run, tmp_path):
    """A model's settings may recommend tau, guidance and matching, as the bundled faces' do."""
    run = Workdir(shutil.copytree(tiny_run, tmp_path / "run"))
    run.write_hparams(dataclasses.replace(run.read_hparams(), sampling=Sampling(2.0, 3.0, True)))
    Image.fromarray(LOW_RES[0]).save(tmp_path / "0.png")
    where = [f"--workdir={run.path}", f"--input={tmp_path / '0.png'}", f"--output={tmp_path}"]
    for options, sampling in (
        ({}, Sampling(2.0, 3.0, True)),
        ({"tau": 1.5, "match_input": False}, Sampling(1.5, 3.0)),
        ({"as_in_the_paper": True, "guidance": 1.0}, Sampling(guidance=1.0)),
    ):
        expected = trained.sample(LOW_RES[0], **vars(sampling))
        np.testing.assert_array_equal(prsr.load(run.path).sample(LOW_RES[0], **options), expected)
        given = [f"--{name}={value}" for name, value in options.items()]
        printed = succeed(call("sample", *where, "--num_samples=1", *given)).stdout
        np.testing.assert_array_equal(Image.open(tmp_path / "0_1.png"), expected[0])
        assert ("(recommended" in printed) != ("as_in_the_paper" in options)


def test_a_pickled_model_loads_again_from_its_path(model):
    again = pickle.loads(pickle.dumps(model))
    assert type(again) is type(model) and again.hparams == model.hparams
    pair = LOW_RES, HIGH_RES[:2]
    np.testing.assert_allclose(again.log_prob(*pair), model.log_prob(*pair), rtol=1e-6)


def test_the_bundled_model_finds_a_face_and_pickles_by_name():
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
    assert model.__reduce__()[1] == ("faces",)


def test_only_face_models_accept_align(trained):
    with pytest.raises(prsr.UserError, match="faces"):
        trained.sample(PICTURE, align=True)


def test_a_regression_predicts_but_has_no_probabilities(baseline_runs, tmp_path):
    model = prsr.load(baseline_runs / "regression")
    assert model.sample(LOW_RES).shape == (2, 1, 8, 8, 3)
    with pytest.raises(ValueError, match="no probabilities"):
        model.log_prob(LOW_RES, HIGH_RES[:2])
    hparams, network = Workdir(baseline_runs / "regression").load_model()
    with pytest.raises(prsr.UserError, match="not regression"):
        saved_model.export(hparams, network, tmp_path)


def test_a_folder_without_a_model_is_rejected(tmp_path, tiny_export):
    with pytest.raises(prsr.UserError, match="run directory .*export .*faces"):
        prsr.load(tmp_path / "none")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(prsr.UserError, match="prsr.export"):
        prsr.load(tmp_path / "foreign")
    shutil.copytree(tiny_export / "1", tmp_path / "export" / "9")
    shutil.copytree(tiny_export / "1", tmp_path / "export" / "10")
    (tmp_path / "export" / "9" / "saved_model.pb").write_bytes(b"broken")
    assert prsr.load(tmp_path / "export").low_shape == (2, 2, 3)  # the newest version
    with pytest.raises(prsr.UserError, match="export.*9"):
        prsr.load(tmp_path / "export" / "9")


LOADING = """
import logging, signal, sys, warnings
import prsr
print(prsr.__version__, "tensorflow" in sys.modules)

def state():
    levels = {name: logging.getLogger(name).level for name in ("", "PIL", "absl")}
    plots = [name for name in sys.modules if name.startswith("matplotlib")]
    return levels, logging.getLogger().handlers[:], signal.getsignal(signal.SIGINT), plots

import tensorflow, keras, h5py  # what these change is not ours
before, filters = state(), warnings.filters[:]
prsr.load(sys.argv[1])
assert state() == before
assert warnings.filters == filters
"""


def test_importing_and_loading_leave_the_program_as_it_was(tiny_run):
    """Importing loads no TensorFlow; loading changes no logger, warning or signal."""
    assert python("-c", LOADING, tiny_run).split() == [prsr.__version__, "False"]


def test_keras_image_format_and_precision_change_no_score(trained, tiny_run):
    expected = trained.log_prob(LOW_RES, HIGH_RES[:2])
    with other_keras_settings():
        actual = prsr.load(tiny_run).log_prob(LOW_RES, HIGH_RES[:2])
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_load_expands_a_home_directory(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").symlink_to(tiny_run)
    assert prsr.load("~/run").high_shape == (8, 8, 3)
