import time

from prsr.benchmarks import rounds


def test_contenders_take_turns_and_medians_count():
    calls = []
    waits = iter([0.0, 0.0, 0.01, 0.2, 0.01])

    def slow():
        calls.append("slow")
        time.sleep(0.05)

    def varying():
        calls.append("varying")
        time.sleep(next(waits))

    times, first = rounds.interleave({"slow": slow, "varying": varying}, 4)
    assert calls == ["slow", "varying"] * 5
    assert 0.05 <= times["slow"] < 0.2
    assert 0.01 <= times["varying"] < 0.05 <= first["slow"]
