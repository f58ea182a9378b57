"""Section 5.3 as data: what a worker is shown, and in which order."""

import dataclasses
from typing import NamedTuple

import numpy as np

PRACTICE, PAIR, GOLDEN = "practice", "pair", "golden"
SIDES = ("left", "right")
QUESTION = "Which image, would you guess, is from a camera?"


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The numbers of section 5.3.

    Attributes:
        practice: pairs with feedback that are not counted.
        pairs: pairs that count, the original against the worker's one algorithm.
        golden: extra pairs mixed in with them, the original against bicubic interpolation; a
            worker who takes any bicubic image for the photograph is excluded.
        exposure_ms: how long a pair is shown before it may be answered.
        workers: how many to keep for each algorithm.
    """

    practice: int = 10
    pairs: int = 40
    golden: int = 5
    exposure_ms: int = 1000
    workers: int = 40

    @property
    def images(self):
        """Number of different images that a session needs."""
        return self.practice + self.pairs + self.golden


class Trial(NamedTuple):
    """One pair: its kind, the number of its image, and on which side the original is."""

    kind: str
    image: int
    truth_side: str


def counted_images(protocol, count, seed):
    """Chooses the images of the counted pairs, for every place of an algorithm.

    Each place takes those of `count` images that earlier places use least, so every image is
    rated about equally often. Returns a `[pairs]` int array for each of `protocol.workers`, which
    depends on `seed`, a str.
    """
    rng, used, places = _plan_generator(seed), np.zeros(count, int), []
    for _ in range(protocol.workers):
        order = rng.permutation(count)
        places.append(order[np.argsort(used[order], kind="stable")][: protocol.pairs])
        used[places[-1]] += 1
    return places


def plan(protocol, counted, count, seed):
    """Plans a session: practice, then the counted pairs with the golden ones mixed in.

    `counted` is one of `counted_images`; the other images are drawn from the rest of `count`. No
    image appears twice, so no pair gives away another. Returns a list of `Trial`, whose order and
    sides depend on `seed`, a str.
    """
    rng = _plan_generator(seed)
    others = rng.permutation(np.setdiff1d(np.arange(count), counted))
    practice, golden = np.split(others[: protocol.practice + protocol.golden], [protocol.practice])
    main = [(PAIR, image) for image in counted] + [(GOLDEN, image) for image in golden]
    shuffled = [(PRACTICE, image) for image in practice]
    shuffled += [main[i] for i in rng.permutation(len(main))]
    sides = rng.randint(2, size=protocol.images)
    return [Trial(kind, int(image), SIDES[side]) for (kind, image), side in zip(shuffled, sides)]


def _plan_generator(seed):
    """NumPy's old generator: its numbers are the same in every version, as a plan must be."""
    return np.random.RandomState(list(seed.encode()))
