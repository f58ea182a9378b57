"""What the pages and `--help` say works: links, flags, commands, Python, printed lines.

`UPDATE_DOCS=1 pytest tests/docs_test.py` writes the tables of flags in docs/commands.md anew.
"""

import collections
import importlib
import inspect
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import zipfile

import pytest
from absl import flags as absl_flags
from PIL import Image

import benchmarks.__main__ as benchmarks
from prsr import flags
from prsr.__main__ import COMMANDS
from prsr.data import letters
from prsr.workdir import pretrained
from tests.conftest import ROOT, python

FOLDERS = ("*.md", "docs/*.md", "experiments/*.md", "prsr/**/*.md")
PAGES = sorted(path for folder in FOLDERS for path in ROOT.glob(folder))
ids = {"ids": lambda page: page.stem}


def entries():
    """`(name, define, main)` of every command and subcommand, and of the benchmarks."""
    for name in COMMANDS:
        module = importlib.import_module(f"prsr.{name}")
        if name == "study":
            for subcommand, functions in module.COMMANDS.items():
                yield f"prsr study {subcommand}", *functions
        else:
            yield f"prsr {name}", module.define, module.main
    yield "benchmarks", benchmarks.define, benchmarks.main


ENTRIES = list(entries())
DEFINE = {name: define for name, define, _ in ENTRIES}
each_entry = pytest.mark.parametrize(
    ("name", "define", "main"), ENTRIES, ids=[name for name, *_ in ENTRIES]
)

# Commands that are not run: they take hours, or want data that nobody may pass on.
LONG = re.compile(
    r"(faces|celeba|bedrooms_small|mnist_corners)\.flags|img_align_celeba|docker"
    r"|runs/bedrooms_small|runs/faces|benchmarks --output"
)
WITH_COMMANDS = ("README", "api", "commands", "data", "guides", "inspect", "method")
SERVERS = re.compile(r"prsr demo|study serve")


def blocks(page):
    """`(language, code)` of a page's fenced blocks, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(code):
    """The commands of a bash block that do not concern the environment itself."""
    for line in code.strip().splitlines():
        for command in line.split(" && "):
            if not re.match(r"pip |python3 -m venv |\. |pytest\b", command):
                yield command


def anchors(page):
    """What GitHub makes of a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs" / "tour.ipynb"], **ids)
def test_links_have_targets(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, **ids)
def test_quoted_code_is_in_the_named_file(page):
    """A block of `py` follows a link to the file it comes from."""
    text = page.read_text()
    quotes = re.findall(r"^From \[`(\S+)`\][^\n]*\n\n```py\n(.*?)^```$", text, re.M | re.S)
    assert len(quotes) == text.count("```py\n")
    for path, code in quotes:
        assert code in (ROOT / path).read_text(), (path, code)


def test_messages_to_look_up_are_those_of_the_program():
    """Each message that troubleshooting quotes is in the code; `...` stands for values."""
    code = "".join(path.read_text() for path in (ROOT / "prsr").rglob("*.py"))
    code = re.sub(r'"\s+f?"', "", code)
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    for message in re.findall(r"^\| `([^`]+)`", page, re.MULTILINE):
        assert all(part in code for part in message.split("...")), message


def example(main):
    """The example of a command's help."""
    return inspect.cleandoc(main.__doc__ or main.__globals__["__doc__"]).splitlines()[2]


def test_flags_in_the_pages_and_in_help_examples_exist(monkeypatch):
    monkeypatch.chdir(ROOT)
    given = [example(main) for *_, main in ENTRIES]
    for page in PAGES:
        for language, code in blocks(page):
            given += commands(code) if language == "bash" else []
    found = collections.Counter()
    for command in given:
        command = command.replace("python -m ", "", 1).replace("prsr.", "prsr ", 1)
        if command.startswith(("prsr ", "benchmarks ")):
            name = next(name for name in DEFINE if f"{command} ".startswith(f"{name} "))
            with flags.defined(DEFINE[name]):
                flags.FLAGS([name, *shlex.split(command[len(name) :])])
            found[name] += 1
    assert found.keys() == DEFINE.keys()


@each_entry
def test_help_has_an_example_and_every_flag_with_its_choices(
    name, define, main, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as end:
        flags.run(main, define, [name, "--help"])
    assert not end.value.code
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100 and lines[2] == example(main)
    before = {*absl_flags.FLAGS, "debug", "model"}  # which train has as an alias
    with flags.defined(define):
        rows = {}
        for title, group in flags.listing().items():
            assert f"{title}:" in lines
            rows.update({re.split("[-=]+", typed)[1]: text for typed, text in group.items()})
        assert set(absl_flags.FLAGS) <= before | rows.keys()
        for flag, text in rows.items():
            assert any(re.match(rf"  --{flag}\b", line) for line in lines), flag
            for choice in getattr(absl_flags.FLAGS[flag].parser, "enum_values", ()):
                assert choice in text, (flag, choice)


def test_help_does_not_wait_for_tensorflow():
    code = """if True:
        import runpy, sys
        sys.modules["tensorflow"] = sys.modules["keras"] = None
        sys.argv = ["prsr", "--help"]
        runpy.run_module("prsr.train", run_name="__main__")
    """
    assert "--blocks_per_stage=6" in python("-c", code)


def table(groups, of_train):
    """Flags by group, as Markdown; groups that are also prsr.train's only name it."""
    lines = ["| flag | |", "|---|---|"]
    for title, rows in groups.items():
        known = of_train.get(title, {})
        if rows.items() <= known.items() and groups is not of_train:
            but = ", ".join(f"`{typed.split('=')[0]}`" for typed in known.keys() - rows.keys())
            without = f", without {but}" if but else ""
            lines.append(f"| **{title}** | as for [`prsr train`](#prsr-train){without} |")
            continue
        lines.append(f"| **{title}** | |")
        lines += [f"| `{typed}` | {text} |" for typed, text in rows.items()]
    return "\n".join(lines)


def test_tables_of_flags_are_current():
    page = ROOT / "docs" / "commands.md"
    groups = {}
    for name, define, _ in ENTRIES:
        with flags.defined(define):
            groups[name] = flags.listing()
    text, count = re.subn(
        r"(?<=^<!-- flags of )([\w. ]+)( -->\n).*?(?=^<!-- end of flags -->)",
        lambda found: f"{found[1]}{found[2]}{table(groups[found[1]], groups['prsr train'])}\n",
        page.read_text(),
        flags=re.MULTILINE | re.DOTALL,
    )
    assert count == len(groups)
    if os.environ.get("UPDATE_DOCS"):
        page.write_text(text)
    assert page.read_text() == text, "write them anew: UPDATE_DOCS=1 pytest tests/docs_test.py"


def scratch(folder):
    """A folder with what a reader of the pages has or brings."""
    (folder / "experiments").symlink_to(ROOT / "experiments")
    (folder / "my_images").mkdir()
    with zipfile.ZipFile(folder / "my_images.zip", "w") as archive:
        for i in range(60):
            path = folder / "my_images" / f"{i}.png"
            letters.render(i).resize((40, 40)).save(path)
            archive.write(path, path.name)
    grace = pretrained.workdir("faces").path / "examples" / "grace_hopper.jpg"
    Image.open(grace).resize((356, 436)).save(folder / "me.jpg")
    return folder


def run_command(command, folder):
    """Runs a command, a server until Ctrl-C once it listens; returns what it printed."""
    if "--train_steps=20000" in command:  # hours
        command += " --train_steps=1 --eval_images=2 --sample_images=0"
    serves = SERVERS.search(command)
    environment = {
        **os.environ,
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}" + (" --port=0" if serves else "")],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    text = ""
    while serves and "http" not in text:
        line = process.stdout.readline()
        assert line, text
        text += line
    if serves:
        process.send_signal(signal.SIGINT)
    text += process.communicate(timeout=1800)[0]
    assert process.returncode == 0, (command, text)
    return text


def shape(line):
    """A line without its numbers, paths of the machine and spaces."""
    return " ".join(re.sub(r"-?\d[\d.,:]*", "#", line).split())


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if p.stem in WITH_COMMANDS], **ids)
def test_commands_of_a_page_work_and_print_what_it_shows(page, tmp_path):
    folder, printed, count = scratch(tmp_path), "", 0
    for language, code in blocks(page):
        if language == "bash":
            chosen = [command for command in commands(code) if not LONG.search(command)]
            printed = "".join(run_command(command, folder) for command in chosen)
            count += len(chosen)
        elif language == "python":
            with open(folder / "example.py", "a") as file:
                file.write(code)
            run_command("python example.py", folder)
            count += 1
        elif language == "text":
            assert code.strip(), "nothing is shown"
            lines = {shape(line) for line in printed.splitlines()}
            for line in code.splitlines():
                assert shape(line) in lines | {"..."}, (line, printed)
    assert count
