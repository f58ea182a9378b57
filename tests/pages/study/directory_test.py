"""Studies that are there already, damaged or incomplete."""

import pytest

from prsr.pages.study import directory
from prsr.system.errors import UserError
from tests.pages.study import studies


def test_damaged_and_missing_studies_are_refused(tmp_path):
    with pytest.raises(UserError, match="no study there"):
        directory.Study.open(tmp_path)
    study = studies.make(tmp_path / "a")
    with pytest.raises(UserError, match="a study already"):
        studies.make(tmp_path / "a")
    content = (study.path / "study.json").read_text()
    for before, after in (
        ('"exposure_ms": 20', '"exposure_ms": "x"'),
        ('"nearest"', '"nearer"'),
        ("{", ""),
    ):
        assert before in content
        (study.path / "study.json").write_text(content.replace(before, after))
        with pytest.raises(UserError, match="is damaged"):
            directory.Study.open(study.path)
    (study.path / "study.json").write_text(content)
    study.picture("noise", "truth", 3).unlink()
    with pytest.raises(UserError, match="is missing"):
        directory.Study.open(study.path)
