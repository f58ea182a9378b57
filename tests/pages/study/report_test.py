"""All that is written of a study's answers."""

import json

import pytest
from PIL import Image

from prsr.pages.study import report, store
from prsr.pages.study.protocol import PAIR, SIDES
from prsr.system.errors import UserError
from tests.pages.study import studies


def test_a_report_holds_figures_tables_and_answers(tmp_path):
    study = studies.make(tmp_path / "study")
    with pytest.raises(UserError, match="nobody has taken part"):
        report.write(study, tmp_path / "report", 2, seed=1)
    clock = studies.Clock()
    kept = studies.open_store(study, clock)
    token = studies.begin(kept, "ann")
    report.write(study, tmp_path / "early", 2, seed=1)  # while nobody has finished
    state = kept.state(token)
    while state["state"] == "pair":
        clock.now += 1
        _, trial = kept.due(token)
        is_fooled = trial.kind == PAIR and state["number"] % 2 == 1
        choice = SIDES[(trial.truth_side == "right") != is_fooled]
        state = kept.answer(token, state["number"], choice, 20, 5)
    text = report.write(study, tmp_path / "report", 2, seed=1)
    assert "Simulated" not in text and "Tau_1" in text
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "answers.csv", "figure7_noise.pdf", "figure7_noise.png", "percent_fooled.png",
        "report.csv", "report.json", "report.md", "table1_noise.csv", "table1_noise.md",
        "workers.csv",
    ]  # fmt: skip
    assert Image.open(tmp_path / "report/percent_fooled.png").width == 840
    assert (tmp_path / "report/workers.csv").stat().st_mode & 0o077 == 0
    (done,) = [r for r in json.loads((tmp_path / "report/report.json").read_text())["algorithms"]
               if r["kept"]]  # fmt: skip
    percent = 100 * done["fooled"]["mean"]
    counted = [a for a in store.read(study)[0]["answers"] if a["kind"] == PAIR]
    assert percent == pytest.approx(100 * sum(a["number"] % 2 for a in counted) / 3)
    table = (tmp_path / "report/table1_noise.md").read_text()
    assert f"| {done['title']} | 10.00 ± 1.00 | {percent:.1f} |" in table
