"""From evaluations to a study: what is taken, and what is refused."""

import pytest

from prsr.pages.study import preparation
from prsr.system.errors import UserError
from tests.pages.study import studies


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    return studies.evaluated(tmp_path_factory.mktemp("evaluated"))


def test_what_no_study_can_be_made_of(evaluated, tmp_path):
    for evaluations, methods, num_images, words in (
        ([], [], 0, "expected folders"),
        ([tmp_path], [], 0, "not hold a finished evaluation"),
        ([evaluated, evaluated], [], 0, "two evaluations are called 'rooms'"),
        ([evaluated], ["nn"], 0, "choose methods from regression, tau_1.2 of .*, not 'nn'"),
        ([evaluated], ["regression"] * 2, 0, "each once"),
        ([evaluated], [], 54, "54 images, and a session shows 55"),
        ([f"../x={evaluated}"], [], 0, "letters, digits"),
    ):
        with pytest.raises(UserError, match=words):
            preparation.prepare(
                tmp_path / "b", [str(e) for e in evaluations], methods, num_images, "nearest", 1, 1
            )
    assert not (tmp_path / "b").exists()
