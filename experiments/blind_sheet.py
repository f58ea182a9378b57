"""Numbered sheets of original and generated images, for a judge who has seen none of them.

    python experiments/blind_sheet.py --evaluation=runs/guided \
        --methods=truth,tau_1.2,tau_1.2_guidance_2_matched --output=runs/blind

Shows each test image at most once, by one method, enlarged four times (bicubic). Writes
sheet_1.png and so on with 20 images each, and key.json, which the judge must not see.
"""

import json
import pathlib

import numpy as np
from absl import app, flags
from PIL import Image, ImageDraw, ImageFont

from prsr.evaluation import results

FLAGS = flags.FLAGS
flags.DEFINE_string("evaluation", None, "The folder that prsr.evaluate wrote.", required=True)
flags.DEFINE_list("methods", None, "Folders in its images/, such as truth,tau_1.2.", required=True)
flags.DEFINE_string("output", None, "The folder to write to.", required=True)
flags.DEFINE_integer("each", 20, "Images of each method.", 1)
flags.DEFINE_integer("seed", 1, "Determines which images, and in which order.")

COLUMNS, ROWS, SIDE, GAP = 5, 4, 128, 24


def main(_):
    evaluation = pathlib.Path(FLAGS.evaluation)
    _, names = results.read(evaluation)
    by_method = {key: results.read_images(evaluation, key, len(names)) for key in FLAGS.methods}
    generator = np.random.default_rng(FLAGS.seed)
    labels = generator.permutation(np.repeat(FLAGS.methods, FLAGS.each)).tolist()
    numbers = generator.choice(len(by_method[FLAGS.methods[0]]), len(labels), replace=False)
    folder = pathlib.Path(FLAGS.output)
    folder.mkdir(parents=True, exist_ok=True)
    font = ImageFont.load_default(16)
    on_sheet = COLUMNS * ROWS
    for start in range(0, len(labels), on_sheet):
        sheet = Image.new("RGB", (COLUMNS * (SIDE + GAP), ROWS * (SIDE + GAP)), "white")
        pen = ImageDraw.Draw(sheet)
        for place, (label, number) in enumerate(zip(labels, numbers)):
            if not start <= place < start + on_sheet:
                continue
            row, column = divmod(place - start, COLUMNS)
            x, y = column * (SIDE + GAP) + GAP // 2, row * (SIDE + GAP)
            image = Image.fromarray(by_method[label][number])
            sheet.paste(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (x, y))
            middle = (x + SIDE // 2, y + SIDE + GAP // 2)
            pen.text(middle, str(place + 1), fill="black", font=font, anchor="mm")
        sheet.save(folder / f"sheet_{start // on_sheet + 1}.png")
    key = {i + 1: [label, int(number)] for i, (label, number) in enumerate(zip(labels, numbers))}
    (folder / "key.json").write_text(json.dumps(key, indent=1) + "\n", "utf-8")
    print(f"wrote {len(labels)} images and their key to {folder}")


if __name__ == "__main__":
    app.run(main)
