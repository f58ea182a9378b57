"""All commands under one name: prsr COMMAND --flag=value, or python -m prsr COMMAND."""

import ast
import pathlib
import runpy
import sys

from prsr.version import __version__

# In the order in which a reader meets them.
COMMANDS = (
    "sample",
    "demo",
    "train",
    "prepare",
    "evaluate",
    "figures",
    "export",
    "study",
    "corners",
    "benchmark",
)


def summary(command):
    """What a command does, in one line, read from its file: importing it takes longer."""
    source = pathlib.Path(__file__).with_name(f"{command}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)).splitlines()[0].split(": python -m")[0].rstrip(".")


def overview():
    """The text of `prsr --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {command:{width}}  {summary(command)}" for command in COMMANDS]
    return "\n".join(
        [
            "Pixel Recursive Super Resolution. Commands:",
            "",
            *lines,
            "",
            "prsr COMMAND --help lists the flags of one; prsr COMMAND is python -m prsr.COMMAND.",
        ]
    )


def main():
    """Runs the command that the program's arguments name.

    Raises:
        SystemExit: there is no such command; or as the command ends.
    """
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in ("--help", "-h"):
        print(overview())
    elif command == "--version":
        print(f"prsr {__version__}")
    elif command in COMMANDS:
        # It finds its own arguments, and itself as the program, as after python -m prsr.COMMAND.
        sys.argv[1:] = arguments
        runpy.run_module(f"prsr.{command}", run_name="__main__", alter_sys=True)
    else:
        sys.exit(f"error: '{command}' is no command of prsr, which has {', '.join(COMMANDS)}")


if __name__ == "__main__":
    main()
