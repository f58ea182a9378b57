"""A small study and a clock that is set by hand."""

import pytest

from tests.pages.study import studies


@pytest.fixture
def study(tmp_path):
    return studies.make(tmp_path / "study")


@pytest.fixture
def clock():
    return studies.Clock()
