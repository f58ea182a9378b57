"""Which parts are measured, and when their results are there."""

import pytest

from benchmarks import cold, nearest, replicas, sampling, suite, training
from prsr.hparams import DataHparams, Hparams, ModelHparams, TrainingHparams

HPARAMS = Hparams(
    ModelHparams(
        blocks_per_stage=1, conditioning_width=4, prior_width=7, prior_layers=2, prior_hidden=8
    ),
    DataHparams(image_size=8),
    TrainingHparams(global_batch_size=4),
)


@pytest.fixture
def asked(monkeypatch):
    """What was asked of each part, none of which is measured."""
    asked = []
    for module, name in (
        (sampling, "compare"), (sampling, "agreement"), (sampling, "growth"), (training, "compare"),
        (replicas, "compare"), (training, "pipeline"), (nearest, "compare"), (nearest, "streaming"),
        (cold, "compare"),
    ):  # fmt: skip
        key = f"{module.__name__.split('.')[-1]}.{name}"
        monkeypatch.setattr(module, name, lambda *given, key=key: asked.append((key, given)) or key)
    return asked


def test_results_so_far_after_each_part(asked):
    parts = ["nearest", "replicas", "pipeline", "cold", "sampling", "training"]
    seen = [
        set(results) - {"device", "cores", "tensorflow", "weights", "image_size"}
        for results in suite.measure(HPARAMS, parts, [1, 64], 500_000, 3, quick=False)
    ]
    new = [later - earlier for earlier, later in zip([{"global_batch_size"}, *seen], seen)]
    assert new == [
        {"sampling", "agreement"},
        {"cold"},
        {"training"},
        {"replicas"},
        {"pipeline"},
        {"nearest", "streaming"},
    ]
    given = dict(asked)
    assert given["sampling.agreement"][1:] == (8, 64)  # the largest batch
    assert given["cold.compare"] == (HPARAMS, [1], 3)  # one call draws at most 16 at once
    assert given["nearest.compare"] == (300_000, 1000, 3)  # faiss must hold them
    assert given["nearest.streaming"] == (500_000, 1000)


@pytest.mark.parametrize(
    ("quick", "sizes", "depths"), [(True, [8, 16], [1, 2]), (False, [4, 8, 16], [5, 10, 20, 40])]
)
def test_growth_in_sizes_that_the_model_can_have(asked, quick, sizes, depths):
    list(suite.measure(HPARAMS, ["growth"], [1], 10, 1, quick))
    assert asked == [("sampling.growth", (HPARAMS, sizes, depths, 1))]
