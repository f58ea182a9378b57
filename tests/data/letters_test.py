import numpy as np

from prsr.data import letters


def test_a_picture_is_a_function_of_its_number():
    assert letters.render(5).tobytes() == letters.render(5).tobytes() != letters.render(6).tobytes()
    assert letters.render(5).size == (128, 128)


def test_one_glyph_on_a_plain_ground_in_two_of_eight_colours():
    for index in range(20):
        pixels = np.asarray(letters.render(index)).reshape(-1, 3)
        colours, counts = np.unique(pixels, axis=0, return_counts=True)
        plain = colours[counts > 100]
        assert len(plain) == 2 and np.isin(plain, (32, 224)).all()
        assert (pixels[0] == pixels[-1]).all()  # of the ground, at opposite corners


def test_labels_are_the_29_glyphs():
    labels = [letters.label(index) for index in range(300)]
    assert set(labels) == set(range(29))
