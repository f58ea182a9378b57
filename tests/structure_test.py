"""The layers of the house: a module imports only from below it."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).parent.parent

LAYERS = [
    {"prsr.errors", "prsr.version"},
    {
        "prsr.hparams",
        "prsr.progress",
        "prsr.files",
        "prsr.tables",
        "prsr.web",
        "prsr.training.distribution",
    },
    {"prsr.images", "prsr.plotting"},
    {
        "prsr.data.faces",
        "prsr.models.layers",
        "prsr.models.losses",
        "prsr.evaluation.metrics",
        "prsr.training.optimizers",
    },
    {"prsr.models.trunk", "prsr.data.letters", "prsr.data.splits", "prsr.sampling.noise"},
    {"prsr.data.corners", "prsr.data.lsun", "prsr.data.records", "prsr.evaluation.mnist_corners"},
    {"prsr.models.conditioning", "prsr.models.regression", "prsr.data.sources"},
    {"prsr.models.prior", "prsr.sampling.naive", "prsr.sampling.cached"},
    {"prsr.models.pixel_recursive", "prsr.data.pipeline"},
    {
        "prsr.sampling.samplers",
        "prsr.trained.workdir",
        "prsr.training.reporting",
        "prsr.data.preparation",
    },
    {"prsr.baselines.bicubic", "prsr.baselines.nearest_neighbor", "prsr.baselines.networks"},
    {
        "prsr.trained.pretrained",
        "prsr.trained.saved_model",
        "prsr.training.trainer",
        "prsr.sampling.super_resolution",
        "prsr.evaluation.results",
        "prsr.evaluation.paper_figures",
    },
    {"prsr.api"},
    {"prsr"},
    {"prsr.benchmarks.rounds", "prsr.benchmarks.full_kernels", "prsr.benchmarks.torch_step"},
    {"prsr.benchmarks.sampling", "prsr.benchmarks.training", "prsr.benchmarks.nearest"},
    {"prsr.benchmarks.replicas"},
    {"prsr.benchmarks.report"},
    {"prsr.demo_page.drawing"},
    {"prsr.demo_page.server"},
    {"prsr.human_study.protocol"},
    {"prsr.human_study.directory", "prsr.human_study.store"},
    {"prsr.human_study.server", "prsr.human_study.analysis", "prsr.human_study.preparation"},
    {"prsr.human_study.simulation", "prsr.human_study.report"},
    {"prsr.flags"},
    {"prsr.train", "prsr.sample", "prsr.evaluate", "prsr.figures", "prsr.corners"}
    | {"prsr.benchmark", "prsr.study", "prsr.export", "prsr.demo", "prsr.prepare"}
    | {"prsr.__main__"},
]
PACKAGES = {"prsr.models", "prsr.data", "prsr.sampling", "prsr.baselines", "prsr.benchmarks"}
PACKAGES |= {"prsr.human_study", "prsr.demo_page"}


def imports(path):
    """Every module that a file names in an import, at any depth of the code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules():
    for path in sorted((ROOT / "prsr").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def test_modules_import_from_lower_layers_only():
    level = {name: i for i, names in enumerate(LAYERS) for name in names}
    for name, path in modules():
        if name in PACKAGES:
            continue
        for imported in imports(path):
            if imported in level and imported != "prsr":
                assert level[imported] < level[name], f"{name} imports {imported}"
    assert set(level) | PACKAGES == {name for name, _ in modules()}


def test_layers_and_models_know_keras_alone():
    for name, path in modules():
        if name in (
            "prsr.models.layers",
            "prsr.models.losses",
            "prsr.images",
            "prsr.training.optimizers",
        ) or (name.startswith("prsr.models")):
            assert not any(i.split(".")[0] == "tensorflow" for i in imports(path)), name


def test_only_the_top_sees_flags():
    for name, path in modules():
        if "prsr.flags" in imports(path) or "absl.flags" in imports(path):
            assert name in LAYERS[-1] | LAYERS[-2], name
