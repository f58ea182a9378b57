"""From evaluated runs to a study directory."""

import pathlib
import re

import numpy as np

from prsr import images
from prsr.evaluation import results
from prsr.pages.study import directory
from prsr.pages.study.protocol import Protocol
from prsr.system.errors import UserError

PAPER_METHODS = ("regression", "tau_1", "tau_1.1", "tau_1.2")  # of Table 1, rated by people


def prepare(path, evaluations, methods, num_images, enlarge, workers, seed):
    """Makes a `Study` from what `python -m prsr.evaluate` wrote.

    Each of `evaluations` is `DIR` or `NAME=DIR`, for one data set. Without `methods`, those of the
    paper that were evaluated are studied. `num_images` of each data set are drawn at random; 0:
    all. Raises UserError if there is no evaluation, one is not finished, two share a name, or a
    method is missing or repeated.
    """
    if not evaluations:
        raise UserError(
            "expected folders that python -m prsr.evaluate wrote, such as RUN/evaluation"
        )
    rng = np.random.default_rng(seed)
    data_sets, pictures, algorithms = [], {}, []
    for entry in evaluations:
        name, equals, place = entry.partition("=")
        if not equals or pathlib.Path(entry).exists():
            name, place = "", entry
        source = pathlib.Path(place)
        table, names = results.read(source)
        name = name or re.sub(r"^[.-]|[^\w.-]", "_", pathlib.Path(table["run"]).name, flags=re.A)
        if name in pictures:
            raise UserError(f"two evaluations are called '{name}'; name them: NAME=DIR,NAME=DIR")
        studied = _study_algorithms(name, source, table, methods)
        chosen = np.sort(rng.permutation(len(names))[: num_images or len(names)])
        kept = {
            key: results.read_images(source, key, len(names))[chosen]
            for key in (directory.TRUTH, "input", *(algorithm.method for algorithm in studied))
        }
        low_res = kept.pop("input")
        scale = kept[directory.TRUTH].shape[1] // low_res.shape[1]
        pictures[name] = {**kept, directory.BICUBIC: images.upsample_bicubic(low_res, scale)}
        data_sets.append(directory.DataSet(name, [names[i] for i in chosen], table))
        algorithms += studied
    protocol = Protocol(workers=workers)
    return directory.prepare(path, data_sets, pictures, algorithms, enlarge, protocol)


def _study_algorithms(name, source, table, methods):
    """The algorithms of one evaluation."""
    rows = {row["method"]: row for row in table["rows"]}
    methods = methods or [method for method in PAPER_METHODS if method in rows]
    unknown = [m for m in methods if m not in rows or m == directory.BICUBIC]
    if unknown or not methods or len(set(methods)) < len(methods):
        choices = ", ".join(method for method in rows if method != directory.BICUBIC)
        wrong = f"not '{unknown[0]}'" if unknown else "each once"
        raise UserError(f"choose methods from {choices} of '{source}', {wrong}")
    result = []
    for method in methods:
        paper = rows[method].get("paper", {}).get("percent_fooled")
        result.append(directory.Algorithm(name, method, rows[method]["title"], paper))
    return result
