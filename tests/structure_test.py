"""The layers of the house, as rules: a module imports only from below it."""

import ast
import graphlib
import pathlib

ROOT = pathlib.Path(__file__).parent.parent

# From the ground up. A folder is one thing; its files may import each other.
GROUND_UP = (
    {"system"},
    {"hparams", "images"},
    {"models", "plotting"},
    {"data"},
    {"workdir"},
    {"sampling"},
    {"training"},
    {"evaluation"},
    {"api"},
    {"prsr"},  # the package itself: prsr/__init__.py
    {"pages"},
    {"flags"},
)


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {name_of(path): path for path in sorted((ROOT / "prsr").rglob("*.py"))}
# What `python -m prsr.NAME` runs.
VERBS = {
    name
    for name, path in PATHS.items()
    if name.count(".") == 1 and '__name__ == "__main__"' in path.read_text()
}


def imports(name):
    """Every module that a module names in an import, at any depth of the code."""
    found = set()
    for node in ast.walk(ast.parse(PATHS[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: imports are absolute"
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = members & PATHS.keys()
            # `from prsr import images` is about prsr.images, not about prsr/__init__.py.
            found |= modules | ({node.module} if len(modules) < len(members) else set()) | members
    return found


def own(name):
    """The modules of this package that a module imports."""
    return imports(name) & PATHS.keys()


def part(name):
    """The folder or file of `GROUND_UP` that a module belongs to."""
    return (name.split(".") + ["prsr"])[1] if "." in name else "prsr"


def height(name):
    if name in VERBS:
        return len(GROUND_UP)
    (found,) = (i for i, parts in enumerate(GROUND_UP) if part(name) in parts)
    return found


def test_everything_has_its_place():
    parts = {part(name) for name in PATHS.keys() - VERBS}
    assert parts == set().union(*GROUND_UP)  # and nothing is named that is gone
    for name in PATHS:
        assert height(name) >= 0


def test_a_module_imports_from_below_or_from_its_own_folder():
    for name in PATHS:
        for imported in own(name):
            beside = part(imported) == part(name)
            assert beside or height(imported) < height(name), f"{name} imports {imported}"


def test_no_module_imports_itself_by_way_of_others():
    graphlib.TopologicalSorter({name: own(name) - {name} for name in PATHS}).prepare()


def knows_keras_alone(name):
    return part(name) == "models" or name in (
        "prsr.images",
        "prsr.training.callbacks",
        "prsr.training.optimizers",
    )


def test_models_know_keras_alone():
    for name in filter(knows_keras_alone, PATHS):
        assert not any(imported.split(".")[0] == "tensorflow" for imported in imports(name)), name


def test_only_verbs_know_flags():
    for name in PATHS.keys() - VERBS - {"prsr.flags"}:
        assert "prsr.flags" not in imports(name), name
        assert not any(imported.split(".")[0] == "absl" for imported in imports(name)), name


# What is tested elsewhere than at its mirrored path, and where.
ELSEWHERE = {
    "prsr": "tests/api_test.py",
    "prsr.__main__": "tests/main_test.py",
    "prsr.models": "tests/models/saving_test.py",
    "prsr.system.version": "tests/main_test.py",
}


def test_a_module_has_its_tests_at_the_same_place():
    for name, path in PATHS.items():
        if path.name == "__init__.py" and name not in ELSEWHERE:
            assert len(path.read_text().splitlines()) == 1, f"{path} is more than a docstring"
            continue
        mirrored = ROOT / "tests" / path.relative_to(ROOT / "prsr")
        tests = ROOT / ELSEWHERE.get(name, mirrored.with_stem(f"{path.stem}_test"))
        assert tests.exists() and "\ndef test_" in tests.read_text(), f"{name} has no {tests}"
