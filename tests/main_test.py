"""`prsr COMMAND`: the list, the version, and commands as `python -m prsr.COMMAND` runs them."""

import pathlib
import re
import sys

import pytest

import prsr
from prsr import __main__ as program
from tests.conftest import ROOT, TINY, run, succeed


@pytest.fixture
def prsr_(monkeypatch, capsys):
    """Function of the arguments of `prsr`: its exit status, standard output and standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["prsr", *map(str, arguments)])
        try:
            status = program.main()
        except SystemExit as end:
            status = end.code
            if isinstance(status, str):  # as Python does at the end
                print(status, file=sys.stderr)
                status = 1
        return status or 0, *capsys.readouterr()

    return call


def test_prsr_lists_every_command_in_one_line(prsr_):
    have_a_main = {
        path.stem
        for path in pathlib.Path(program.__file__).parent.glob("*.py")
        if 'if __name__ == "__main__":' in path.read_text() and path.stem != "__main__"
    }
    assert set(program.COMMANDS) == have_a_main and len(program.COMMANDS) == len(have_a_main)
    status, listed, _ = prsr_()
    assert status == 0
    assert prsr_("--help") == prsr_("-h") == (0, listed, "")
    for command in program.COMMANDS:
        (line,) = re.findall(rf"^  {command} +(.*)$", listed, re.MULTILINE)
        assert 10 < len(line) < 80 and "python" not in line and not line.endswith(".")


def test_prsr_prints_its_version(prsr_):
    assert prsr_("--version") == (0, f"prsr {prsr.__version__}\n", "")


@pytest.mark.parametrize("wrong", ["trian", "__main__", "models", "../train", "--workdir=x", ""])
def test_an_unknown_command_is_one_line(prsr_, wrong):
    status, stdout, stderr = prsr_(wrong, "--workdir=x")
    assert status == 1 and not stdout
    assert stderr.startswith(f"error: '{wrong}' is no command") and stderr.count("\n") == 1
    assert "train, prepare" in stderr


def test_a_command_has_its_own_flags_and_errors(prsr_, tmp_path):
    _, text, _ = prsr_("export", "--help")
    assert "\n  --output=..." in text and text.startswith("Writes a SavedModel")
    assert "--train_steps" not in text
    status, _, error = prsr_("export", "--nope")
    assert status == 1 and "'nope'" in error
    assert prsr_("study", "serve", "--nope")[0] == 1
    assert "prsr.study COMMAND --help" in prsr_("study", "--help")[1]


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
