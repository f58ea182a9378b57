"""`prsr COMMAND`: the list, the version, and commands as `python -m prsr.COMMAND` runs them."""

import pathlib
import re

import pytest

import prsr
from prsr import __main__ as program
from tests.conftest import ROOT, TINY, assert_one_line, call, run, succeed


def test_prsr_lists_every_command_in_one_line():
    have_a_main = {
        path.stem
        for path in pathlib.Path(program.__file__).parent.glob("*.py")
        if 'if __name__ == "__main__":' in path.read_text() and path.stem != "__main__"
    }
    assert set(program.COMMANDS) == have_a_main and len(program.COMMANDS) == len(have_a_main)
    listed = succeed(call("__main__")).stdout
    assert succeed(call("__main__", "--help")).stdout == listed
    assert succeed(call("__main__", "-h")).stdout == listed
    for command in program.COMMANDS:
        (line,) = re.findall(rf"^  {command} +(.*)$", listed, re.MULTILINE)
        assert 10 < len(line) < 80 and "python" not in line and not line.endswith(".")


def test_prsr_prints_its_version():
    assert succeed(call("__main__", "--version")).stdout == f"prsr {prsr.__version__}\n"


@pytest.mark.parametrize("wrong", ["trian", "__main__", "models", "../train", "--workdir=x", ""])
def test_an_unknown_command_is_one_line(wrong):
    result = call("__main__", wrong, "--workdir=x")
    assert_one_line(result, f"'{wrong}'", "train, prepare")
    assert result.returncode == 1 and not result.stdout


def test_a_command_has_its_own_flags_and_errors():
    text = succeed(call("__main__", "export", "--help")).stdout
    assert "\n  --output=..." in text and text.startswith("Writes a SavedModel")
    assert "--train_steps" not in text
    assert_one_line(call("__main__", "export", "--nope"), "'nope'")
    assert_one_line(call("__main__", "study", "serve", "--nope"), "'nope'")
    assert "prsr.study COMMAND --help" in succeed(call("__main__", "study", "--help")).stdout


def test_prsr_train_runs_as_a_process(tmp_path):
    """It reads a flagfile and leaves a run directory."""
    flags = tmp_path / "tiny.flags"
    flags.write_text("\n".join([*TINY, "--train_steps=2", f"--workdir={tmp_path / 'run'}"]))
    result = succeed(run("train", f"--flagfile={flags}", program=["-m", "prsr", "train"]))
    assert "\ndone: " in result.stdout and (tmp_path / "run" / "curves.png").exists()


def test_citation_and_changelog_have_the_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == prsr.__version__
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## \[?([\d.]+)", changes, re.MULTILINE)[1] == prsr.__version__
