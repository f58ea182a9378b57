"""How well each method keeps the colours of the background.

    python experiments/background_colours.py --evaluation=runs/faces/evaluation

Compares the input with each method's images, reduced to 8x8, in the two outer columns above the
shoulders (rows 0 to 4). Prints the mean absolute error on 0..255 of all of these pixels, and of the
strongly coloured ones (largest less smallest channel at least 64), with the signed error of that
difference: negative means paler.
"""

import pathlib

import numpy as np
from absl import app, flags

from prsr.evaluation import results
from prsr.images import downsample

FLAGS = flags.FLAGS
flags.DEFINE_string("evaluation", None, "The folder that prsr.evaluate wrote.", required=True)


def main(_):
    folder = pathlib.Path(FLAGS.evaluation)
    _, names = results.read(folder)
    wanted = _background(results.read_images(folder, "input", len(names)))
    strength = np.ptp(wanted, axis=-1)
    strong = strength >= 64
    print(f"{len(wanted)} images; {strong.mean():.0%} of the background is strongly coloured\n")
    print("| | error | error where strongly coloured | strength there |\n|---|---|---|---|")
    for key in sorted(path.name for path in (folder / "images").iterdir()):
        if key == "input":
            continue
        drawn = results.read_images(folder, key, len(names))
        found = _background(np.asarray(downsample(drawn, 4)))
        error = np.abs(found - wanted).mean(-1)
        paler = (np.ptp(found, axis=-1) - strength)[strong].mean()
        print(f"| {key} | {error.mean():.1f} | {error[strong].mean():.1f} | {paler:+.1f} |")


def _background(low_res):
    return low_res[:, :5][:, :, [0, -1]].astype(float)


if __name__ == "__main__":
    app.run(main)
