"""The layers of the house: a module imports from its own folder and from floors below it."""

import ast
import graphlib
import pathlib

ROOT = pathlib.Path(__file__).parent.parent

# From the ground up. What stands on one floor does not know its neighbours.
FLOORS = (
    {"system"},
    {"hparams", "images"},
    {"models", "plotting"},
    {"data"},
    {"workdir", "sampling"},
    {"training"},
    {"evaluation"},
    {"api"},
    {"prsr"},  # the package itself, prsr/__init__.py
    {"pages"},
    {"flags"},
    {"sample", "demo", "train", "prepare", "evaluate", "figures", "export", "study", "corners"},
    {"__main__"},
)
COMMANDS = FLOORS[-2]
PARTS = set().union(*FLOORS)
PATHS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted((ROOT / "prsr").rglob("*.py"))
}


def imports(name):
    """Everything that a module imports, at any depth of the code, such as `prsr.data.records`."""
    found = set()
    for node in ast.walk(ast.parse(PATHS[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found - {"prsr"}


def part(name):
    """The file or folder below prsr/ to which a name such as `prsr.data.records.Records` leads."""
    second = name.split(".")[1]
    return second if second in PARTS else "prsr"


def floor(name):
    (found,) = (i for i, parts in enumerate(FLOORS) if part(name) in parts)
    return found


def test_every_file_and_folder_has_a_floor():
    found = {path.stem for path in (ROOT / "prsr").iterdir() if path.suffix == ".py"}
    found |= {path.parent.name for path in (ROOT / "prsr").glob("*/__init__.py")}
    assert found - {"__init__"} | {"prsr"} == PARTS


def test_imports_lead_down_or_stay_in_the_folder():
    for name in PATHS:
        for imported in imports(name):
            if imported.startswith("prsr."):
                beside = part(imported) == part(name)
                assert beside or floor(imported) < floor(name), f"{name} imports {imported}"


def test_no_module_imports_itself_by_way_of_others():
    graphlib.TopologicalSorter({name: imports(name) & PATHS.keys() for name in PATHS}).prepare()


def users(library):
    """The modules that import a library."""
    return {
        name
        for name in PATHS
        if any(imported.split(".")[0] == library for imported in imports(name))
    }


def test_libraries_are_used_in_few_places():
    assert {part(name) for name in users("absl")} <= {"flags", *COMMANDS}
    assert users("matplotlib") <= {"prsr.plotting", "prsr.data.letters"}
    in_keras_alone = ("prsr.models.", "prsr.images", "prsr.training.callbacks")
    assert not any(name.startswith(in_keras_alone) for name in users("tensorflow"))


# What is tested elsewhere than at its mirrored path, and where.
ELSEWHERE = {
    "prsr.__init__": "api_test.py",
    "prsr.__main__": "main_test.py",
    "prsr.models.__init__": "models/saving_test.py",
    "prsr.pages.study.preparation": "study_test.py",
    "prsr.system.version": "main_test.py",
    "prsr.training.callbacks": "models/scored_test.py",
}


def test_a_module_has_its_tests_at_the_same_place():
    for name, path in PATHS.items():
        mirrored = path.relative_to(ROOT / "prsr").with_name(f"{path.stem}_test.py")
        tests = ROOT / "tests" / ELSEWHERE.get(name, mirrored)
        if path.name == "__init__.py" and name not in ELSEWHERE:
            assert len(path.read_text().splitlines()) == 1, f"{path} is more than a docstring"
        else:
            assert tests.exists() and "\ndef test_" in tests.read_text(), f"{name} has no {tests}"
