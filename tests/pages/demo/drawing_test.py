"""The queue of pictures, and the samples that are drawn."""

import threading

import numpy as np
import pytest

from prsr import images
from prsr.hparams import DataHparams, Hparams, ModelHparams, Sampling
from prsr.models import likelihood
from prsr.models.build import build_model
from prsr.pages.demo import drawing, server
from prsr.sampling import noise, samplers
from prsr.workdir.directory import Workdir
from tests.pages.study import studies
from tests.runs import wait_for

RNG = np.random.default_rng(0)
LOW_RES = RNG.integers(0, 256, (2, 2, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def trained(tiny_run):
    return Workdir(tiny_run).load_model()


class Rows:
    """Replaces the sampler: draws a row whenever the test allows it."""

    def __init__(self):
        self.allowed = threading.Semaphore(0)
        self.begun = []

    def __call__(self, low_res, seeds, tau, given, guidance):
        self.begun.append(tau)
        if tau == 13:
            raise RuntimeError("bad luck")
        for row in range(8):
            self.allowed.acquire()
            yield np.full((len(low_res), 8, 3), row, np.uint8)


@pytest.fixture
def queue(trained):
    """A drawer that draws a row for each release of `queue.rows.allowed`."""
    drawer = drawing.Drawer(trained[0], lambda: trained[1], clock=studies.Clock())
    drawer.rows = drawer._sample_rows = Rows()
    drawer.rows.allowed.release(8)  # the warm-up
    with drawer:
        wait_for(lambda: drawer.ready)
        drawer.rows.begun.clear()
        yield drawer
        drawer.rows.allowed.release(1000)


def submit(drawer, *taus):
    """Pictures of one sample each, to be drawn at these taus."""
    return [drawer.submit(LOW_RES, 1, Sampling(tau), 1) for tau in taus]


def test_drawn_samples_equal_the_sampler_s(trained):
    hparams, model = trained
    with drawing.Drawer(hparams, lambda: model) as drawer:
        picture = drawer.submit(LOW_RES, 3, Sampling(0.9), 5)
        wait_for(lambda: picture.state == "done")
    seeds = noise.image_seeds(LOW_RES, 5, 3)
    expected = samplers.Sampler(model)(LOW_RES[None].repeat(3, 0), seeds, Sampling(0.9))
    np.testing.assert_array_equal(picture.samples(), expected)
    np.testing.assert_array_equal(picture.low_res, LOW_RES)
    assert list(picture.others) == ["bicubic"]  # an input of the low size has no original
    nats = likelihood.nats(model, LOW_RES[None].repeat(3, 0), expected, 3)
    np.testing.assert_allclose(picture.nats["samples"], nats, rtol=1e-5)


def test_pictures_are_drawn_in_turn_and_know_their_place(queue):
    first, second, third = submit(queue, 1.0, 2.0, 3.0)
    wait_for(lambda: first.state == "drawing")
    assert [queue.look(p.id)[1] for p in (first, second, third)] == [0, 1, 2]
    queue.rows.allowed.release(3)
    wait_for(lambda: len(first.rows) == 3)
    assert [row[0, 0, 0] for row in first.rows] == [0, 1, 2] and first.state == "drawing"
    queue.cancel(second.id)
    assert queue.look(third.id)[1] == 1
    queue.rows.allowed.release(5)
    wait_for(lambda: queue.rows.begun == [1.0, 3.0])
    assert first.state == "done" and third.state == "drawing"
    with pytest.raises(KeyError):
        queue.look(second.id)


def test_a_cancelled_or_abandoned_picture_is_not_drawn_further(queue):
    first, second = submit(queue, 1.0, 2.0)
    wait_for(lambda: first.state == "drawing")
    queue.cancel(first.id)
    queue.rows.allowed.release(1)
    wait_for(lambda: second.state == "drawing")
    (third,) = submit(queue, 3.0)
    queue.clock.now += 19
    queue.look(third.id)
    queue.clock.now += 2  # nobody looked at the second for 21 seconds
    queue.rows.allowed.release(1)
    wait_for(lambda: third.state == "drawing")
    assert len(first.rows) == len(second.rows) == 0


def test_the_queue_has_a_limit(queue):
    (first,) = submit(queue, 1.0)
    wait_for(lambda: first.state == "drawing")
    waiting = submit(queue, *[2.0] * drawing.MAX_WAITING)
    with pytest.raises(drawing.QueueFull, match="20 pictures"):
        submit(queue, 2.0)
    queue.cancel(waiting[7].id)
    submit(queue, 2.0)


def test_a_failure_does_not_stop_the_next_picture(queue, capfd):
    bad, good = submit(queue, 13, 1.0)
    queue.rows.allowed.release(8)
    wait_for(lambda: good.state == "done")
    assert bad.state == "failed" and "bad luck" in capfd.readouterr().err


def test_the_newest_finished_pictures_are_kept(queue, monkeypatch):
    monkeypatch.setattr(drawing, "MAX_KEPT", 2)
    queue.rows.allowed.release(100)
    pictures = submit(queue, *[1.0] * 4)
    wait_for(lambda: pictures[-1].state == "done")
    submit(queue, 1.0)
    for dropped in pictures[:2]:
        with pytest.raises(KeyError):
            queue.look(dropped.id)
    assert [queue.look(picture.id)[0].state for picture in pictures[2:]] == ["done", "done"]


def test_the_queue_stops_in_the_middle_of_a_picture(queue):
    first, second = submit(queue, 1.0, 1.0)
    queue.rows.allowed.release(3)
    wait_for(lambda: len(first.rows) == 3)
    threading.Timer(0.2, queue.rows.allowed.release).start()  # one row more
    queue.__exit__()
    assert not queue._thread.is_alive() and len(first.rows) == 3 and second.state == "waiting"


def test_a_grey_model_of_digits_gets_the_chosen_square():
    sizes = {"blocks_per_stage": 1, "conditioning_width": 4, "prior_width": 4, "prior_layers": 1}
    model = ModelHparams(channels=1, scale=2, prior_hidden=4, **sizes)
    hparams = Hparams(model, DataHparams(image_size=8, crop="mnist"))
    square = RNG.integers(0, 256, (8, 8, 1), dtype=np.uint8)
    with drawing.Drawer(hparams, lambda: build_model(hparams)) as drawer:
        picture = drawer.submit(square, 2, Sampling(), 1)
        wait_for(lambda: picture.state == "done")
    np.testing.assert_array_equal(picture.others["original"], square)
    np.testing.assert_array_equal(picture.low_res, images.downsample(square, 2))
    assert server._grid_response(picture).width > 5 * 128
