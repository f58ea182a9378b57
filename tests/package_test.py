"""The package as others get it: a wheel by itself, and an editable install beside its checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

from tests.conftest import ROOT

ELSEWHERE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def checkout(folder):
    """A checkout called prsr in a folder, without what builds and runs left in this one."""
    left = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*", "build", "dist", "runs")
    return shutil.copytree(ROOT, folder / "prsr", ignore=left)


def environment(folder):
    """The programs' folder of a new environment without prsr.

    It sees the packages that are installed here behind its own, but no prsr of theirs: an
    editable one is a .pth file, which Python does not read there.
    """
    venv.create(folder, with_pip=True)
    paths = {"base": str(folder), "platbase": str(folder)}
    packages = sysconfig.get_path("purelib", "venv", paths)
    with open(os.path.join(packages, "dependencies.pth"), "w") as file:
        file.write(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def run(*command, cwd):
    result = subprocess.run(
        list(map(str, command)), cwd=cwd, env=ELSEWHERE, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_all_files_of_the_package_are_installed(tmp_path):
    pytest.importorskip("setuptools", "77")
    source = checkout(tmp_path)
    run(sys.executable, "setup.py", "-q", "build_py", f"--build-lib={tmp_path}/built", cwd=source)

    def files(folder):
        return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}

    assert files(source / "prsr") == files(tmp_path / "built" / "prsr")
    assert [path.name for path in (tmp_path / "built").iterdir()] == ["prsr"]


@pytest.mark.slow
def test_a_wheel_works_by_itself(tmp_path):
    programs = environment(tmp_path / "venv")
    pip = [programs / "python", "-m", "pip"]
    run(*pip, "wheel", "--no-deps", f"--wheel-dir={tmp_path}", checkout(tmp_path), cwd=tmp_path)
    shutil.rmtree(tmp_path / "prsr")
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"prsr"}  # and its metadata
    assert not any("test" in name for name in names)

    run(*pip, "install", "--no-deps", wheel, cwd=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    where = run(programs / "python", "-c", "import prsr; print(prsr.__file__)", cwd=empty)
    assert where.startswith(str(tmp_path / "venv"))
    assert "  train  " in run(programs / "prsr", cwd=empty)
    run(programs / "prsr", "sample", "--model=faces", "--output=samples", cwd=empty)
    pictures = {path.name for path in (empty / "samples").glob("*.png")}
    assert "grid.png" in pictures and len(pictures) == 9


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["-e"]], ids=["copied", "editable"])
def test_a_script_beside_the_checkout_finds_the_package(tmp_path, how):
    """A script imports the package, not the checkout's folder prsr, which looks like a package."""
    source, programs = checkout(tmp_path), environment(tmp_path / "venv")
    run(programs / "python", "-m", "pip", "install", "--no-deps", *how, source, cwd=tmp_path)
    script = tmp_path / "script.py"
    script.write_text("import prsr; print(prsr.load('faces').high_shape)")
    assert run(programs / "python", script, cwd=tmp_path) == "(32, 32, 3)\n"
    assert run(programs / "python", script, cwd="/") == "(32, 32, 3)\n"
    assert "  train  " in run(programs / "python", "-m", "prsr", cwd=tmp_path)
