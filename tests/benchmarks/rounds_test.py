from benchmarks import rounds


def test_variants_are_interleaved_and_medians_reported(monkeypatch):
    """The clock is a fake that only the variants advance."""
    calls, now = [], [0.0]
    waits = iter([0.0, 0.0, 1.0, 20.0, 2.0])
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: now[0])

    def slow():
        calls.append("slow")
        now[0] += 5.0

    def varying():
        calls.append("varying")
        now[0] += next(waits)

    times, first = rounds.interleave({"slow": slow, "varying": varying}, 4)
    assert calls == ["slow", "varying"] * 5
    assert times == {"slow": 5.0, "varying": 1.5}  # the median of 0, 1, 2 and 20
    assert first == {"slow": 5.0, "varying": 0.0}
