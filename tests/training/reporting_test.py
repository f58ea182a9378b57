"""What a run says about itself."""

from tests.runs import summaries


def test_tensorboard_has_scalars_and_images(tiny_run):
    tags = {tag: [step for step, _ in steps] for tag, steps in summaries(tiny_run).items()}
    for name in ("joint", "conditioning", "prior"):
        assert tags[f"train/bits_per_dim/{name}"] == [1, 2, 3, 4, 5, 6]
        assert tags[f"validation/bits_per_dim/{name}"] == [4, 6]
    assert {"learning_rate", "examples_per_second", "input, samples, truth"} <= tags.keys()
