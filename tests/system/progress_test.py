import os
import subprocess
import sys

import pytest

from prsr.system import progress


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00"), (59.9, "0:00:59"), (3661, "1:01:01"), (90000, "25:00:00")]
)
def test_seconds_are_printed_as_a_clock(seconds, text):
    assert progress.clock(seconds) == text


def test_time_left_by_hand(monkeypatch, capsys):
    """After a quarter in 10 seconds 30 are left; updates sooner than `every` print nothing."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = progress.Progress("pictures", 4000, every=5)
    for seconds, done in ((4, 400), (10, 1000), (12, 1200), (40, 4000)):
        now[0] = 100.0 + seconds
        bar.update(done)
    assert capsys.readouterr().err.splitlines() == [
        "pictures: 1,000 of 4,000, 0:00:30 left",
        "pictures: 4,000 of 4,000, 0:00:00 left",
    ]


def test_silenced_keeps_libraries_and_children_off_standard_error(capfd):
    with pytest.raises(ValueError), progress.silenced():
        os.write(2, b"a library's")
        subprocess.run([sys.executable, "-c", "import os; os.write(2, b'a child')"], check=True)
        raise ValueError
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
