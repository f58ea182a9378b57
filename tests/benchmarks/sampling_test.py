from benchmarks import rounds, sampling
from tests.training.trainer_test import HPARAMS


def test_the_reference_is_scaled_to_all_sub_pixels(monkeypatch):
    """One second of overhead and 0.25 s for each of 192 sub-pixels make 49 s."""
    times = {
        "fast": 0.5,
        "reference": 1 + 0.25 * sampling._REFERENCE_SUB_PIXELS,
        "reference, nothing drawn": 1.0,
        "forward pass": 0.2,
        rounds.MATRIX: 1.0,
    }

    def interleave(contenders, num_rounds):
        assert set(contenders) == set(times) and num_rounds == 7
        return times, times

    monkeypatch.setattr(rounds, "interleave", interleave)
    model = sampling.build(HPARAMS)
    row = sampling.compare(model, 8, [3], 7)[0]
    assert row["reference_seconds"] == 1 + 0.25 * 192
    assert row["speedup"] == 49 / 0.5
    assert row["forward_passes"] == 0.5 / 0.2
