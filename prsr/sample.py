"""Super-resolves images.

python -m prsr.sample --model=faces --input=FILE_OR_FOLDER
"""

import itertools
import json
import math
import pathlib
import tempfile
import threading

from absl.flags import DEFINE_bool, DEFINE_integer

from prsr import flags
from prsr.flags import FLAGS
from prsr.hparams import Sampling
from prsr.system import backend, files, progress
from prsr.system.errors import UserError

_MAX_ROWS = 64  # of the grid
_FRAME, _LAST_FRAME = 90, 3000  # milliseconds of an animation


def define():
    flags.define_trained()
    with flags.group("Images"):
        flags.define_path(
            "input",
            None,
            "Image or folder; by default the model's examples or the run's test images",
        )
        DEFINE_bool("align", False, "Find the face in each image and crop it as for training")
        DEFINE_integer("num_images", 8, "Without --input: number of images", 1)
        flags.define_path(
            "given", None, "High-resolution image to continue: only its transparent parts are drawn"
        )
        flags.define_path("output", "samples", "Folder to write to")
        DEFINE_bool("animate", False, "Also write NAME_rows.png: samples growing row by row")
    flags.define_sampling()
    with flags.group("Sampling"):
        DEFINE_bool(
            "as_in_the_paper",
            False,
            "Use the defaults above where a bundled model recommends others",
        )
        DEFINE_integer("num_samples", 4, "Samples per image; one if --tau=inf", 1)
        DEFINE_integer("seed", 1, "Seed; sample k of an image depends on the seed, k and the image")
    with flags.group("Speed"):
        flags.define_batch_size()
        flags.define_replicas()


def main():
    from prsr.data import inputs
    from prsr.sampling import samplers

    devices = backend.devices(FLAGS.num_replicas)
    workdir = flags.trained()
    if FLAGS.align and FLAGS.input is None:
        raise UserError("--align needs --input, the image or folder to find faces in")
    hparams = workdir.read_hparams()
    paper = Sampling()
    recommended = paper if FLAGS.as_in_the_paper else hparams.sampling
    sampling = flags.sampling_from_flags(hparams, vars(recommended))
    if recommended != paper:
        print(f"drawing with {sampling.title} (recommended; --as_in_the_paper: {paper.title})")
    num_samples = 1 if math.isinf(sampling.tau) else FLAGS.num_samples
    given = None if FLAGS.given is None else inputs.read_given(FLAGS.given, hparams)
    # Finding faces takes seconds; meanwhile the sampler compiles, for as many as there may be.
    find_eyes = inputs.eye_finder(hparams) if FLAGS.align else None
    count = inputs.count(FLAGS.input) if find_eyes else 0
    chosen = None if count else _chosen_inputs(workdir, hparams)
    hparams, model = workdir.build_model()
    low_size = hparams.data.image_size // model.scale
    batch = min((count or len(chosen)) * num_samples, FLAGS.batch_size)
    sampler = samplers.Sampler(model, hparams.data.downsampling, devices=devices)
    shape = (batch, low_size, low_size, model.channels)
    threading.Thread(target=sampler.warm_up, args=[shape]).start()
    workdir.load_weights(model)
    chosen = chosen or inputs.read_inputs(FLAGS.input, hparams, find_eyes)
    options = num_samples, sampling, FLAGS.seed, FLAGS.batch_size, given
    output = pathlib.Path(FLAGS.output)
    rows = super_resolve(model, sampler, chosen, output, *options)
    for image, row in zip(chosen, rows if FLAGS.animate else ()):
        _animate_samples(row, output / f"{image.name}_rows.png")


def _chosen_inputs(workdir, hparams):
    """The images to super-resolve, as a list of `inputs.Input`."""
    from prsr.data import inputs

    if FLAGS.input is not None:
        return inputs.read_inputs(FLAGS.input, hparams)
    if FLAGS.model is not None:
        return inputs.read_inputs(workdir.path / "examples", hparams)[: FLAGS.num_images]
    source, _ = workdir.open_images(hparams)
    return inputs.test_inputs(source, hparams, FLAGS.num_images)


def super_resolve(
    model, sampler, inputs, output, num_samples, sampling, seed, batch_size, given=None
):
    """Draws samples and writes them as PNGs, with a grid of the first inputs and the likelihoods.

    Writes `NAME_K.png` for sample K of each input as soon as its batch is drawn, `grid.png` (input,
    bicubic, samples, and any original) as soon as its rows are drawn, and `nats.json` at the end,
    also if interrupted. Prints the likelihoods, if the model has any.

    `inputs` are a list of `prsr.data.inputs.Input`; `sampler`, `num_samples`, `sampling`, `seed`,
    `batch_size` and `given` are as for `prsr.sampling.samplers.draw_samples`.

    Returns:
        The rows of the grid, dicts from captions to uint8 images.

    Raises:
        UserError: `output` is not writable.
    """
    from prsr import images
    from prsr.models import likelihood

    with files.disk_errors(output):  # before anything is drawn
        output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output).close()
    drawn = _sampled(model, sampler, inputs, output, num_samples, sampling, seed, batch_size, given)
    scored = likelihood.Repeated(model) if model.has_likelihood else None
    rows, report, num_rows = [], [], min(len(inputs), _MAX_ROWS)
    try:
        # The images of as many inputs as fit in a batch are scored together.
        while group := list(itertools.islice(drawn, max(1, batch_size // (num_samples + 2)))):
            if len(rows) < num_rows:
                rows += [{"input": image.low_res, **pictures} for image, pictures in group]
                if len(rows) >= num_rows:
                    with files.disk_errors(output):
                        images.save(_sample_grid(rows[:num_rows]), output / "grid.png")
            if scored:
                if not report:
                    print("nats per image (bits/dim) under the model:")
                report += _print_scores(scored, group, batch_size)
    finally:
        if report:
            with files.disk_errors(output):
                files.write_text(output / "nats.json", json.dumps(report, indent=2) + "\n")
    part = f" (the first {num_rows} of {len(inputs):,} images)" if num_rows < len(inputs) else ""
    count = progress.counted(len(inputs) * num_samples, "sample")
    print(f"wrote {count} and grid.png{part} to {output}")
    return rows[:num_rows]


def _sampled(model, sampler, inputs, output, num_samples, sampling, seed, batch_size, given):
    """Draws and writes samples; yields each input with a dict from names to pictures."""
    import numpy as np

    from prsr import images
    from prsr.sampling import samplers

    count = len(inputs) * num_samples
    every = 5 if count > 20 * batch_size else 0  # seconds
    bar = progress.Progress("drawing samples", count, every=every)
    low_res = np.stack([image.low_res for image in inputs])
    repeated = samplers.repeat(low_res, num_samples, seed)
    drawn = samplers.stream(sampler, *repeated, sampling, batch_size, bar, given)
    for image in inputs:
        pictures = {"bicubic": np.asarray(images.upsample_bicubic(image.low_res, model.scale))}
        for k in range(1, num_samples + 1):
            pictures[f"sample {k}"] = sample = next(drawn)
            with files.disk_errors(output):
                images.save(images.to_pil(sample), output / f"{image.name}_{k}.png")
        if image.high_res is not None:
            pictures["original"] = image.high_res
        yield image, pictures


def _sample_grid(rows):
    """Arranges dicts from captions to pictures, where only originals may be missing."""
    from prsr import plotting

    captions = list(max(rows, key=len))
    return plotting.sheet([[row.get(name) for name in captions] for row in rows], captions)


def _animate_samples(row, path):
    """Writes a row of the grid as an animated PNG, in which the samples grow row by row."""
    import numpy as np

    from prsr import images

    frames, size = [], len(row["bicubic"])
    for drawn in range(size + 1):
        later = np.arange(size)[:, None, None] >= drawn
        samples = {name: x for name, x in row.items() if name.startswith("sample")}
        hidden = {name: np.where(later, np.uint8(228), x) for name, x in samples.items()}
        frames.append(_sample_grid([row | hidden]))
    times = [_FRAME] * size + [_LAST_FRAME]
    with files.disk_errors(path):
        images.save(frames[0], path, save_all=True, append_images=frames[1:], duration=times)


def _print_scores(scored, group, batch_size):
    """Prints the negative log-likelihoods of `_sampled` groups, and returns nats.json's part."""
    import numpy as np

    from prsr.models import likelihood, losses

    low_res = np.stack([image.low_res for image, pictures in group for _ in pictures])
    high_res = np.stack([x for _, pictures in group for x in pictures.values()])
    nats = iter(likelihood.nats(scored, low_res, high_res, batch_size).tolist())
    report = []
    for image, pictures in group:
        named = dict(zip(pictures, nats))
        cells = [f"{name} {losses.in_words(x, high_res.shape[1:])}" for name, x in named.items()]
        print(f"  {image.name}: {', '.join(cells)}")
        samples = [x for name, x in named.items() if name.startswith("sample")]
        scores = {"bicubic": named.pop("bicubic"), "samples": samples}
        scores |= {name: x for name, x in named.items() if name == "original"}
        report.append({"name": image.name, "nats_per_image": scores})
    return report


if __name__ == "__main__":
    flags.run(main, define)
