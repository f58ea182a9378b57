"""Times the first and later calls of an export: python experiments/export_calls.py exports/faces

Run it twice for docs/benchmarks.md: for an export as it is, and for one made with --nojit_compile.
"""

import pathlib
import statistics
import sys
import time

import numpy as np
import tensorflow as tf


def main(folder):
    version = max(pathlib.Path(folder).glob("[0-9]*"), key=lambda path: int(path.name))
    sample = tf.saved_model.load(str(version)).signatures["sample"]
    low_size = sample.structured_input_signature[1]["low_res"].shape[1]
    print("| images | first call | later calls, median of 5 |\n|---|---|---|")
    for count in (1, 8, 64):
        rng = np.random.default_rng(count)
        low_res = rng.integers(0, 256, (count, low_size, low_size, 3), dtype=np.uint8)
        inputs = {
            "low_res": tf.constant(low_res),
            "tau": tf.constant(1.0),
            "seed": tf.constant([[0, k] for k in range(count)]),
            "guidance": tf.constant(0.0),
            "match_input": tf.constant(False),
        }
        times = []
        for _ in range(6):
            begin = time.perf_counter()
            sample(**inputs)["high_res"].numpy()
            times.append(time.perf_counter() - begin)
        print(f"| {count} | {times[0]:.2f} s | {statistics.median(times[1:]):.3f} s |")


if __name__ == "__main__":
    main(sys.argv[1])
