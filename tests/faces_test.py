"""Alignment by hand-made pictures, and the detector on photographs."""

import sys

import numpy as np
import pytest
from PIL import Image

from prsr import faces, super_resolution
from prsr.errors import UserError
from prsr.hparams import DataHparams, Hparams


def smooth(width, height):
    coarse = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


ALIGNED = smooth(faces.WIDTH, faces.HEIGHT)


def distance(one, other):
    return np.abs(one.astype(int) - other).mean()


def test_an_aligned_picture_stays_as_it_is():
    np.testing.assert_array_equal(faces.align(ALIGNED, faces.EYES), ALIGNED)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_picture_is_turned_back(turns):
    eyes = faces.EYES
    for i in range(turns):  # against the clock: (x, y) goes to (y, width - x)
        width = (faces.WIDTH, faces.HEIGHT)[i % 2]
        eyes = np.stack([eyes[:, 1], width - eyes[:, 0]], axis=-1)
    assert distance(faces.align(np.rot90(ALIGNED, turns), eyes), ALIGNED) < 0.1


@pytest.mark.parametrize("scale", [0.5, 3, 7.3])
def test_a_picture_of_another_size(scale):
    size = round(faces.WIDTH * scale), round(faces.HEIGHT * scale)
    factors = size[0] / faces.WIDTH, size[1] / faces.HEIGHT
    scaled = np.asarray(Image.fromarray(ALIGNED).resize(size, Image.Resampling.BICUBIC))
    assert distance(faces.align(scaled, faces.EYES * factors), ALIGNED) < 1


def test_a_large_picture_is_averaged_not_sampled():
    """Stripes of one pixel, three times too large, are grey."""
    stripes = np.zeros((3 * faces.HEIGHT, 3 * faces.WIDTH, 3), np.uint8)
    stripes[:, ::2] = 255
    assert faces.align(stripes, 3 * faces.EYES).std() < 20


def test_outside_of_the_picture_its_edge_goes_on():
    inner = ALIGNED[50:180, 30:150]
    aligned = faces.align(inner, faces.EYES - (30, 50))
    np.testing.assert_array_equal(aligned[50:180, 30:150], inner)
    np.testing.assert_array_equal(aligned[:50, 30:150], np.broadcast_to(inner[0], (50, 120, 3)))
    np.testing.assert_array_equal(aligned[180:, 150:], np.broadcast_to(inner[-1, -1], (38, 28, 3)))


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    with pytest.raises(UserError, match="faces"):
        faces.detector()


@pytest.fixture(scope="module")
def find_eyes():
    pytest.importorskip("mtcnn")
    return faces.detector()


@pytest.fixture
def portrait(celeba):
    """An aligned photograph, 178x218, of a face that looks at us."""
    from prsr.data import sources

    source = sources.open_source(f"zip:{celeba / 'img_align_celeba.zip'}", "auto", 3)
    return source.read(source.names("test")[0])


def photograph(portrait):
    """The portrait twice in a large picture: small, and twice as large and turned by 15 degrees."""
    large = Image.new("RGB", (1200, 900), (90, 120, 60))
    small = Image.fromarray(portrait)
    large.paste(small.resize((140, 172)), (40, 30))
    double = small.resize((2 * faces.WIDTH, 2 * faces.HEIGHT), Image.Resampling.BICUBIC)
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
    own = 2 * (own - (faces.WIDTH / 2, faces.HEIGHT / 2))
    turn = np.exp(-1j * np.deg2rad(15)) * (own[:, 0] + 1j * own[:, 1])
    np.testing.assert_allclose(eyes, np.stack([x + turn.real, y + turn.imag], -1), atol=12)


def test_align_in_the_command_s_inputs(find_eyes, portrait, tmp_path, capsys):
    hparams = Hparams(data=DataHparams(crop="celeba"))
    picture, *_ = photograph(portrait)
    Image.fromarray(picture).save(tmp_path / "me.png")
    Image.fromarray(portrait[:8, :8]).save(tmp_path / "small.png")
    Image.new("RGB", (300, 200), "white").save(tmp_path / "wall.png")
    found = super_resolution.read_inputs(tmp_path, hparams, find_eyes)
    printed = capsys.readouterr()
    assert [image.name for image in found] == ["me", "small"]
    assert "me: 1200x900, the largest face aligned in 178x218" in printed.out
    assert "wall.png (no face found" in printed.err
    (tmp_path / "true").mkdir()
    Image.fromarray(portrait).save(tmp_path / "true" / "true.png")
    (true,) = super_resolution.read_inputs(tmp_path / "true" / "true.png", hparams)
    assert distance(found[0].low_res, true.low_res) < 15
    with pytest.raises(UserError, match="no face found"):
        super_resolution.read_inputs(tmp_path / "wall.png", hparams, find_eyes)
