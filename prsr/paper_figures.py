"""The paper's figures, from a run: which pictures stand where.

Each function returns `(rows, captions, notes)` for `prsr.plotting.sheet`.
"""

from prsr import losses


def side_by_side(low_res, samples, high_res, groups):
    """Figures 1 and 4 and the appendix: input, sample and truth of many images.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        samples: `[count, size, size, channels]` uint8.
        high_res: the same, the truth.
        groups: images beside one another.
    """
    triples = [list(triple) for triple in zip(low_res, samples, high_res)]
    rows = []
    for start in range(0, len(triples), groups):
        rows.append([picture for triple in triples[start : start + groups] for picture in triple])
    rows[-1] += [None] * (3 * groups - len(rows[-1]))
    return rows, ["input", "sample", "truth"] * groups, None


def diversity(low_res, samples):
    """Figure 5: several samples of each input.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        samples: `[count, num_samples, size, size, channels]` uint8.
    """
    rows = [[low, *own] for low, own in zip(low_res, samples)]
    return rows, ["input", *["sample"] * samples.shape[1]], None


def temperatures(low_res, by_tau, high_res):
    """Section 5.1: the same inputs and noise at several taus.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        by_tau: dict from a title to `[count, size, size, channels]` uint8.
        high_res: `[count, size, size, channels]` uint8, the truth.
    """
    rows = [list(row) for row in zip(low_res, *by_tau.values(), high_res)]
    return rows, ["input", *by_tau, "truth"], None


def by_method(low_res, by_title, high_res, nats):
    """Figure 6: every method's image, and its negative log-likelihood under the model.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        by_title: dict from a method's title to `[count, size, size, channels]` uint8.
        high_res: `[count, size, size, channels]` uint8, the truth.
        nats: function `(low_res, images)` to `[count]` nats an image.
    """
    pictures = {**by_title, "truth": high_res}
    rows = [list(row) for row in zip(low_res, *pictures.values())]
    scores = [nats(low_res, images) for images in pictures.values()]
    notes = [
        ["", *(f"{n:.0f} ({losses.bits_per_dim(n, high_res.shape[1:]):.2f})" for n in own)]
        for own in zip(*scores)
    ]
    notes[0][0] = "nats (bits/dim):"
    return rows, ["input", *_short(pictures)], notes


def corners(low_res, by_title, samples):
    """Figure 2: what each model makes of a digit that may be in either corner.

    Args:
        low_res: `[count, low size, low size, channels]` uint8.
        by_title: dict from a baseline's title to `[count, size, size, channels]` uint8.
        samples: `[count, num_samples, size, size, channels]` uint8 of the PixelCNN.
    """
    rows = [[*row[:-1], *row[-1]] for row in zip(low_res, *by_title.values(), samples)]
    return rows, ["input", *_short(by_title), *["PixelCNN"] * samples.shape[1]], None


def _short(titles):
    """Titles that fit above a picture."""
    return [title.replace("Cross-entropy", "CE") for title in titles]
