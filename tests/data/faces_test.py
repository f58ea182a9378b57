"""Alignment by hand-made pictures, and the detector on photographs."""

import sys

import numpy as np
import pytest
from PIL import Image

from prsr.data import decoding, faces, inputs
from prsr.data.faces import CELEBA_HEIGHT, CELEBA_WIDTH
from prsr.hparams import DataHparams, Hparams
from prsr.system.errors import UserError
from prsr.workdir import pretrained
from tests.conftest import assert_one_line, call, succeed


def smooth(width, height):
    coarse = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


ALIGNED = smooth(CELEBA_WIDTH, CELEBA_HEIGHT)


def distance(one, other):
    return np.abs(one.astype(int) - other).mean()


def test_an_aligned_image_is_unchanged():
    np.testing.assert_array_equal(faces.align(ALIGNED, faces.EYES), ALIGNED)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_rotated_image_is_rotated_back(turns):
    eyes = faces.EYES
    for i in range(turns):  # against the clock: (x, y) goes to (y, width - x)
        width = (CELEBA_WIDTH, CELEBA_HEIGHT)[i % 2]
        eyes = np.stack([eyes[:, 1], width - eyes[:, 0]], axis=-1)
    assert distance(faces.align(np.rot90(ALIGNED, turns), eyes), ALIGNED) < 0.1


@pytest.mark.parametrize(("scale", "limit"), [(0.5, 1), (3, 0.3), (7.3, 0.7)])
def test_an_image_of_another_size_is_resized(scale, limit):
    size = round(CELEBA_WIDTH * scale), round(CELEBA_HEIGHT * scale)
    factors = size[0] / CELEBA_WIDTH, size[1] / CELEBA_HEIGHT
    scaled = np.asarray(Image.fromarray(ALIGNED).resize(size, Image.Resampling.BICUBIC))
    assert distance(faces.align(scaled, faces.EYES * factors), ALIGNED) < limit


def test_a_large_image_is_averaged_not_sampled():
    """Stripes one pixel wide in an image three times too large become grey."""
    stripes = np.zeros((3 * CELEBA_HEIGHT, 3 * CELEBA_WIDTH, 3), np.uint8)
    stripes[:, ::2] = 255
    assert faces.align(stripes, 3 * faces.EYES).std() < 20


def test_beyond_the_image_its_edge_is_repeated():
    inner = ALIGNED[50:180, 30:150]
    aligned = faces.align(inner, faces.EYES - (30, 50))
    np.testing.assert_array_equal(aligned[50:180, 30:150], inner)
    np.testing.assert_array_equal(aligned[:50, 30:150], np.broadcast_to(inner[0], (50, 120, 3)))
    np.testing.assert_array_equal(aligned[180:, 150:], np.broadcast_to(inner[-1, -1], (38, 28, 3)))


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    with pytest.raises(UserError, match=r"\[faces\]"):
        faces.detector()


@pytest.fixture(scope="module")
def find_eyes():
    pytest.importorskip("mtcnn")
    return faces.detector()


@pytest.fixture
def portrait():
    """An aligned photograph, 178x218, of a face that looks at us."""
    examples = pretrained.workdir("faces").path / "examples"
    return decoding.decode(examples / "eileen_collins.jpg", 3)


@pytest.mark.parametrize("name", ["eileen_collins", "grace_hopper"])
def test_the_bundled_examples_are_aligned(find_eyes, name):
    examples = pretrained.workdir("faces").path / "examples"
    count, eyes = find_eyes(decoding.decode(examples / f"{name}.jpg", 3))
    assert count == 1
    np.testing.assert_allclose(eyes, faces.EYES, atol=3)


def test_images_without_a_face_have_no_eyes(find_eyes):
    for size in ((300, 200), (20, 20), (1, 400)):
        assert find_eyes(np.asarray(Image.new("RGB", size, "white"))) == (0, None)


def test_a_profile_is_not_taken_for_a_face(monkeypatch, find_eyes):
    """Eyes nearly behind each other do not tell how large a face is."""
    import mtcnn

    face = np.zeros((2, 16))
    face[:, 1:6] = (100, 100, 80, 90, 1)
    face[0, [6, 7, 11, 12]] = (120, 135, 140, 140)  # 15 pixels of 80
    face[1, [6, 7, 11, 12]] = (120, 150, 140, 140)
    monkeypatch.setattr(mtcnn.MTCNN, "detect_faces", lambda *_, **__: face.copy())
    count, eyes = find_eyes(np.zeros((300, 300, 3), np.uint8))
    assert count == 1
    np.testing.assert_array_equal(eyes, [(120, 140), (150, 140)])


def photograph(portrait):
    """The portrait twice in a large picture: small, and twice as large and turned by 15 degrees."""
    large = Image.new("RGB", (1200, 900), (90, 120, 60))
    small = Image.fromarray(portrait)
    large.paste(small.resize((140, 172)), (40, 30))
    double = small.resize((2 * CELEBA_WIDTH, 2 * CELEBA_HEIGHT), Image.Resampling.BICUBIC)
    turned = double.rotate(15, Image.Resampling.BICUBIC, expand=True)
    mask = Image.new("L", double.size, 255).rotate(15, expand=True)
    large.paste(turned, (500, 200), mask)
    return np.asarray(large), 500 + turned.width / 2, 200 + turned.height / 2


def test_the_largest_face_is_found_and_turned_upright(find_eyes, portrait):
    picture, x, y = photograph(portrait)
    count, eyes = find_eyes(picture)
    assert count == 2
    # Where the portrait's own eyes went: twice as large, turned about the middle.
    count, own = find_eyes(portrait)
    assert count == 1
    own = 2 * (own - (CELEBA_WIDTH / 2, CELEBA_HEIGHT / 2))
    turn = np.exp(-1j * np.deg2rad(15)) * (own[:, 0] + 1j * own[:, 1])
    np.testing.assert_allclose(eyes, np.stack([x + turn.real, y + turn.imag], -1), atol=6)


def test_inputs_are_aligned_and_those_without_a_face_skipped(find_eyes, portrait, tmp_path, capsys):
    hparams = Hparams(data=DataHparams(crop="celeba"))
    picture, *_ = photograph(portrait)
    Image.fromarray(picture).save(tmp_path / "me.png")
    Image.fromarray(portrait[:8, :8]).save(tmp_path / "small.png")
    Image.new("RGB", (300, 200), "white").save(tmp_path / "wall.png")
    found = inputs.read_inputs(tmp_path, hparams, find_eyes)
    printed = capsys.readouterr()
    assert [image.name for image in found] == ["me", "small"]
    assert "me: 1200x900, the largest face aligned in 178x218" in printed.out
    assert "wall.png (no frontal face found" in printed.err
    (tmp_path / "true").mkdir()
    Image.fromarray(portrait).save(tmp_path / "true" / "true.png")
    (true,) = inputs.read_inputs(tmp_path / "true" / "true.png", hparams)
    assert distance(found[0].low_res, true.low_res) < 15
    with pytest.raises(UserError, match="no frontal face"):
        inputs.read_inputs(tmp_path / "wall.png", hparams, find_eyes)


def test_the_command_aligns_a_photograph(portrait, tmp_path):
    pytest.importorskip("mtcnn")
    picture, *_ = photograph(portrait)
    Image.fromarray(picture).save(tmp_path / "me.jpg")
    arguments = ["--model=faces", "--align", "--num_samples=1", f"--output={tmp_path / 'out'}"]
    result = succeed(call("sample", f"--input={tmp_path / 'me.jpg'}", *arguments))
    assert "me: 1200x900, the largest face aligned in 178x218" in result.stdout
    assert (tmp_path / "out" / "me_1.png").exists()
    assert_one_line(call("sample", *arguments), "--align needs --input")
