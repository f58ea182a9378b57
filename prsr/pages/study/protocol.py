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
        pairs: pairs that count, the truth against the worker's one algorithm.
        golden: extra pairs mixed in with them, the truth against bicubic interpolation; a
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
    """One pair: its kind, the number of its image, and where the truth stands."""

    kind: str
    image: int
    truth_side: str


def plan(protocol, times_shown, rng):
    """Draws a session: practice, then the counted pairs with the golden ones mixed in.

    No image appears twice, so no pair gives away another. The counted pairs use the images
    shown least so far, so that every image is rated about equally often.

    Args:
        protocol: a `Protocol`.
        times_shown: `[images]` integers, how often each was in a counted pair of this algorithm.
        rng: `np.random.Generator`.

    Returns:
        A list of `Trial`.
    """
    order = rng.permutation(len(times_shown))
    order = order[np.argsort(np.asarray(times_shown)[order], kind="stable")]
    counted, others = order[: protocol.pairs], rng.permutation(order[protocol.pairs :])
    practice = [(PRACTICE, image) for image in others[: protocol.practice]]
    golden = others[protocol.practice : protocol.practice + protocol.golden]
    main = [(PAIR, image) for image in counted] + [(GOLDEN, image) for image in golden]
    sides = rng.integers(2, size=protocol.images)
    shuffled = practice + [main[i] for i in rng.permutation(len(main))]
    return [Trial(kind, int(image), SIDES[side]) for (kind, image), side in zip(shuffled, sides)]
