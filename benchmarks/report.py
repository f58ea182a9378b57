"""Presents the benchmark's results as tables and as a picture."""

import json

from prsr.evaluation import tables
from prsr.system import files


def markdown(results):
    """The results as Markdown tables, ratios first.

    Args:
        results: as `benchmarks.suite.measure` yields them; any part may be missing.

    Returns:
        Markdown text.
    """
    lines = [
        f"{results['device']}, {results['cores']} cores, TensorFlow {results['tensorflow']}, "
        f"{results['weights']:,} weights, {results['image_size']}x{results['image_size']} images"
    ]
    if "sampling" in results:
        lines += _table(
            ["batch", "times the reference", "in forward passes", "fast", "reference"]
            + ["first call", "matrix product"],
            [
                [
                    row["batch"],
                    f"**{row['speedup']:,.0f}**",
                    f"{row['forward_passes']:.2f}",
                    f"{1e3 * row['fast_seconds'] / row['batch']:.1f} ms an image",
                    f"{row['reference_seconds'] / row['batch']:.1f} s an image",
                    f"{row['first_call_seconds']:.1f} s",
                    f"{row['matrix_gflops']:.0f} GFLOP/s",
                ]
                for row in results["sampling"]
            ],
        )
        fixed = results["agreement"]
        lines.append(
            f"One forward pass over finished samples, with their noise, draws {fixed['agree']:,} "
            f"of {fixed['of']:,} sub-pixels again."
        )
    if "cold" in results:
        cold = results["cold"]
        once = cold["import"]
        steps = [
            ("import tensorflow", once, None),
            ("prsr.sample, two inputs, four samples of each: the picture", cold["picture"], None),
            ("its likelihoods, and the end of the process", cold["command"], None),
            ("prsr.load, its imports included", cold["load"], None),
        ]
        steps += [
            (f"then model.sample, {call['batch']} sample(s)", call["first"], call["later"])
            for call in cold["calls"]
        ]
        lines += _table(
            ["cold start", "relative to TensorFlow's import", "first", "later"],
            [
                [name, f"**{first / once:.2f}**", f"{first:.2f} s"]
                + [f"{later:.3f} s" if later else ""]
                for name, first, later in steps
            ],
        )
    if "training" in results:
        rows = results["training"]
        lines += _table(
            ["train step", "our time / its time", "a step", "of the matrix rate", "peak memory"]
            + ["first step"],
            [
                [
                    row["variant"],
                    f"**{row['ours_relative']:.2f}**",
                    f"{row['seconds']:.2f} s",
                    f"{row['of_matrix_rate']:.0%}",
                    f"{row['peak_gib']:.2f} GiB" if row["peak_gib"] else "-",
                    f"{row['first_call_seconds']:.0f} s",
                ]
                for row in rows
            ],
        )
        lines.append(
            f"Batch {results['global_batch_size']}, {rows[0]['gflop']:.0f} GFLOP a step with "
            f"causal taps; matrix product {rows[0]['matrix_gflops']:.0f} GFLOP/s."
        )
    if "replicas" in results:
        lines += _table(
            ["devices that share a batch", "a step", "relative to one device"],
            [
                [f"{row['devices']} {row['kind']}", f"{row['seconds']:.2f} s"]
                + [f"**{row['relative']:.2f}**"]
                for row in results["replicas"]
            ],
        )
    if "pipeline" in results:
        own = results["pipeline"]
        lines += [
            "",
            f"The input pipeline alone gives {own['pipeline_images_per_second']:,.0f} images a "
            f"second, {own['pipeline_images_per_second'] / own['training_images_per_second']:,.0f} "
            f"times what training takes; training waits for it {own['waiting_share']:.2%} of the "
            f"time. From records on disk it gives {own['records_images_per_second']:,.0f}.",
        ]
    if "nearest" in results:
        rows, stream = results["nearest"], results["streaming"]
        lines += _table(
            ["nearest neighbour", "our time / its time", "a search", "of the matrix rate"]
            + ["mean distance"],
            [
                [
                    row["variant"],
                    f"**{row['ours_relative']:.2f}**",
                    f"{row['seconds']:.3f} s",
                    f"{row['of_matrix_rate']:.0%}",
                    f"{row['mean_distance']:.4f}",
                ]
                for row in rows
            ],
        )
        lines.append(
            f"{rows[0]['queries']:,} queries of 8x8x3 among {rows[0]['database_images']:,} images "
            f"in memory. From records, {stream['database_images']:,} images of "
            f"32x32x3: {stream['seconds']:.0f} s, {stream['images_per_second']:,.0f} images/s, "
            f"{stream['peak_gib']:.2f} GiB of memory, TensorFlow included."
        )
    if "growth" in results:
        for name, unit in (("image_size", "pixel"), ("depth", "layer")):
            points = results["growth"][name]
            counts = [x**2 if name == "image_size" else x for x, _ in points]
            lines += _table(
                [name.replace("_", " "), "an image, batch 1", f"a {unit}"],
                [
                    [x, f"{1e3 * seconds:.0f} ms", f"{1e6 * seconds / count:.0f} us"]
                    for (x, seconds), count in zip(points, counts)
                ],
            )
    return "\n".join(lines) + "\n"


def _table(head, rows):
    return ["", tables.to_markdown(head, rows)]


def write(results, folder):
    """Writes `benchmark.json`, `benchmark.md` and `benchmark.png`.

    Args:
        results: what `benchmarks.suite.measure` yields.
        folder: `pathlib.Path`; created if missing.
    """
    with files.replacing(folder / "benchmark.json") as partial:
        partial.write_text(json.dumps(results, indent=2) + "\n")
    with files.replacing(folder / "benchmark.md") as partial:
        partial.write_text(markdown(results))
    plot(results, folder / "benchmark.png")


def plot(results, path):
    """Plots time per image against batch size, cold starts, and growth with image size and depth.

    Args:
        results: as `markdown`.
        path: `pathlib.Path` of the PNG.
    """
    from matplotlib import pyplot as plt

    panels = [name for name in ("sampling", "cold") if name in results]
    panels += ["image_size", "depth"] * ("growth" in results)
    if not panels:
        return
    figure, all_axes = plt.subplots(
        1, len(panels), figsize=(4.5 * len(panels), 3.8), dpi=120, squeeze=False
    )
    for name, axes in zip(panels, all_axes[0]):
        if name == "sampling":
            _plot_batches(results["sampling"], axes)
        elif name == "cold":
            _plot_cold(results["cold"], axes)
        else:
            _plot_growth(name, results["growth"][name], axes)
        axes.grid(alpha=0.3, which="both")
        if name != "cold":
            axes.legend(fontsize=8)
    figure.tight_layout()
    with files.replacing(path) as partial:
        figure.savefig(partial, format="png")
    plt.close(figure)


def _plot_batches(rows, axes):
    batches = [row["batch"] for row in rows]
    series = {
        "reference sampler": "reference_seconds",
        "fast sampler": "fast_seconds",
        "one forward pass": "forward_seconds",
    }
    for label, key in series.items():
        axes.loglog(batches, [row[key] / row["batch"] for row in rows], "o-", label=label)
    axes.set_xticks(batches, batches)
    axes.set_xlabel("batch")
    axes.set_ylabel("seconds per image")


def _plot_cold(cold, axes):
    times = {"import tensorflow": cold["import"], "prsr.sample: picture": cold["picture"]}
    times["prsr.sample: end"] = cold["command"]
    times["prsr.load"] = cold["load"]
    for call in cold["calls"]:
        times[f"{call['batch']} sample(s), first"] = call["first"]
        times[f"{call['batch']} sample(s), later"] = call["later"]
    axes.barh(list(times), list(times.values()))
    axes.invert_yaxis()
    axes.set_xlabel("seconds")


def _plot_growth(name, points, axes):
    values, times = zip(*points)
    power = 2 if name == "image_size" else 1
    axes.loglog(values, times, "o-", label="fast sampler, batch 1")
    line = [times[-1] * (value / values[-1]) ** power for value in values]
    label = "linear in pixels" if power == 2 else "linear in layers"
    axes.loglog(values, line, "--", color="gray", label=label)
    axes.set_xticks(values, values)
    axes.minorticks_off()
    axes.set_xlabel("image height and width" if power == 2 else "gated layers")
    axes.set_ylabel("seconds per image")
