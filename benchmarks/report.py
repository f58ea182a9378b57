"""Presents the benchmark's results as tables and as a picture."""

import json

from matplotlib.figure import Figure

from prsr.evaluation import tables
from prsr.system import files


def markdown(results):
    """The results as Markdown tables, ratios first.

    Args:
        results: as `benchmarks.suite.measure` yields them; any part may be missing.

    Returns:
        Markdown text.
    """
    size = results["image_size"]
    parts = [
        f"{results['device']}, {results['cores']} cores, TensorFlow {results['tensorflow']}, "
        f"{results['weights']:,} weights, {size}x{size} images"
    ]
    if "sampling" in results:
        columns = {
            "batch": "{batch}",
            "times the reference": "**{speedup:,.0f}**",
            "in forward passes": "{forward_passes:.2f}",
            "fast, per image": "{fast_ms:.1f} ms",
            "reference, per image": "{reference_s:.1f} s",
            "first call": "{first_call_seconds:.1f} s",
            "matrix product": "{matrix_gflops:.0f} GFLOP/s",
        }
        per_image = [
            {
                "fast_ms": 1e3 * row["fast_seconds"] / row["batch"],
                "reference_s": row["reference_seconds"] / row["batch"],
                **row,
            }
            for row in results["sampling"]
        ]
        parts.append(
            _table(columns, per_image)
            + "\nOne forward pass over finished samples, with their noise, draws {agree:,} of "
            "{of:,} sub-pixels again.".format(**results["agreement"])
        )
    if "cold" in results:
        cold = results["cold"]
        steps = {
            "import tensorflow": (cold["import"], ""),
            "prsr.sample, two inputs, four samples of each: the picture": (cold["picture"], ""),
            "its likelihoods, and the end of the process": (cold["command"], ""),
            "prsr.load, its imports included": (cold["load"], ""),
        }
        for call in cold["calls"]:
            name = f"then model.sample, {call['batch']} sample(s)"
            steps[name] = (call["first"], f"{call['later']:.3f} s")
        columns = {
            "cold start": "{name}",
            "relative to TensorFlow's import": "**{relative:.2f}**",
            "first": "{first:.2f} s",
            "later": "{later}",
        }
        rows = [
            {"name": name, "first": first, "relative": first / cold["import"], "later": later}
            for name, (first, later) in steps.items()
        ]
        parts.append(_table(columns, rows))
    if "training" in results:
        columns = {
            "train step": "{variant}",
            "our time / its time": "**{ours_relative:.2f}**",
            "a step": "{seconds:.2f} s",
            "of the matrix rate": "{of_matrix_rate:.0%}",
            "peak memory": "{peak}",
            "first step": "{first_call_seconds:.0f} s",
        }
        rows = [
            {"peak": f"{row['peak_gib']:.2f} GiB" if row["peak_gib"] else "-", **row}
            for row in results["training"]
        ]
        parts.append(
            _table(columns, rows)
            + f"\nBatch {results['global_batch_size']}, "
            "{gflop:.0f} GFLOP a step; matrix product {matrix_gflops:.0f} GFLOP/s.".format(
                **rows[0]
            )
        )
    if "replicas" in results:
        columns = {
            "devices that share a batch": "{devices} {kind}",
            "a step": "{seconds:.2f} s",
            "relative to one device": "**{relative:.2f}**",
        }
        parts.append(_table(columns, results["replicas"]))
    if "pipeline" in results:
        parts.append(
            "The input pipeline alone gives {pipeline_images_per_second:,.0f} images/s; training "
            "takes {training_images_per_second:,.1f} and waits {waiting_share:.2%} of the time. "
            "From records on disk the pipeline gives {records_images_per_second:,.0f}.".format(
                **results["pipeline"]
            )
        )
    if "nearest" in results:
        columns = {
            "nearest neighbour": "{variant}",
            "our time / its time": "**{ours_relative:.2f}**",
            "a search": "{seconds:.3f} s",
            "of the matrix rate": "{of_matrix_rate:.0%}",
            "mean distance": "{mean_distance:.4f}",
        }
        rows = results["nearest"]
        parts.append(
            _table(columns, rows)
            + "\n{queries:,} queries of 8x8x3 among {database_images:,} images in memory. ".format(
                **rows[0]
            )
            + "From records, {database_images:,} images of 32x32x3: {seconds:.0f} s, "
            "{images_per_second:,.0f} images/s, {peak_gib:.2f} GiB of memory, TensorFlow "
            "included.".format(**results["streaming"])
        )
    for name, points in results.get("growth", {}).items():
        unit, power = _GROWTH[name]
        columns = {
            name.replace("_", " "): "{x}",
            "an image, batch 1": "{ms:.0f} ms",
            f"a {unit}": "{us:.0f} us",
        }
        rows = [{"x": x, "ms": 1e3 * time, "us": 1e6 * time / x**power} for x, time in points]
        parts.append(_table(columns, rows))
    return "\n\n".join(parts) + "\n"


# What an image has more of, and how its number follows from the value.
_GROWTH = {"image_size": ("pixel", 2), "depth": ("layer", 1)}


def _table(columns, rows):
    """A Markdown table; `columns` are titles to formats of a row's values."""
    return tables.to_markdown(
        list(columns), [[text.format(**row) for text in columns.values()] for row in rows]
    )


def write(results, folder):
    """Writes `benchmark.json`, `benchmark.md` and `benchmark.png`.

    Args:
        results: what `benchmarks.suite.measure` yields.
        folder: `pathlib.Path`; created if missing.
    """
    files.write_text(folder / "benchmark.json", json.dumps(results, indent=2) + "\n")
    files.write_text(folder / "benchmark.md", markdown(results))
    plot(results, folder / "benchmark.png")


def plot(results, path):
    """Plots time per image against batch size, cold starts, and growth with image size and depth.

    Args:
        results: as `markdown`.
        path: `pathlib.Path` of the PNG.
    """
    panels = [(_plot_batches, results["sampling"])] if "sampling" in results else []
    panels += [(_plot_cold, results["cold"])] if "cold" in results else []
    panels += [(_plot_growth, growth) for growth in results.get("growth", {}).items()]
    if not panels:
        return
    figure = Figure(figsize=(4.5 * len(panels), 3.8), dpi=120)
    for axes, (draw, rows) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        draw(rows, axes)
        axes.grid(alpha=0.3, which="both")
    figure.tight_layout()
    with files.replacing(path) as partial:
        figure.savefig(partial, format="png")


def _plot_batches(rows, axes):
    batches = [row["batch"] for row in rows]
    for label, key in (
        ("reference sampler", "reference_seconds"),
        ("fast sampler", "fast_seconds"),
        ("one forward pass", "forward_seconds"),
    ):
        axes.loglog(batches, [row[key] / row["batch"] for row in rows], "o-", label=label)
    axes.set_xticks(batches, batches)
    axes.set(xlabel="batch", ylabel="seconds per image")
    axes.legend(fontsize=8)


def _plot_cold(cold, axes):
    times = {
        "import tensorflow": cold["import"],
        "prsr.sample: picture": cold["picture"],
        "prsr.sample: end": cold["command"],
        "prsr.load": cold["load"],
    }
    for call in cold["calls"]:
        times[f"{call['batch']} sample(s), first"] = call["first"]
        times[f"{call['batch']} sample(s), later"] = call["later"]
    axes.barh(list(times), list(times.values()))
    axes.invert_yaxis()
    axes.set_xlabel("seconds")


def _plot_growth(growth, axes):
    name, points = growth
    values, times = zip(*points)
    unit, power = _GROWTH[name]
    axes.loglog(values, times, "o-", label="fast sampler, batch 1")
    line = [times[-1] * (value / values[-1]) ** power for value in values]
    axes.loglog(values, line, "--", color="gray", label=f"linear in {unit}s")
    axes.set_xticks(values, values)
    axes.minorticks_off()
    axes.set(xlabel=name.replace("_", " "), ylabel="seconds per image")
    axes.legend(fontsize=8)
