"""All commands under one name: prsr COMMAND --flag=value, or python -m prsr COMMAND."""

import ast
import pathlib
import runpy
import sys

from prsr.system.version import __version__

# In the order of docs/commands.md.
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
)


def summary(command):
    """The first line of a command's docstring, from its file: importing it would take longer."""
    source = pathlib.Path(__file__).with_name(f"{command}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)).splitlines()[0].rstrip(".")


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
            "prsr COMMAND --help lists its flags; prsr COMMAND means python -m prsr.COMMAND.",
        ]
    )


def main():
    """Runs the command that the first argument names.

    Raises:
        SystemExit: the command ended, or there is no such command.
    """
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in ("--help", "-h"):
        print(overview())
    elif command == "--version":
        print(f"prsr {__version__}")
    elif command in COMMANDS:
        # As after python -m prsr.COMMAND: with its own arguments, and as the program.
        sys.argv[1:] = arguments
        runpy.run_module(f"prsr.{command}", run_name="__main__", alter_sys=True)
    else:
        sys.exit(f"error: '{command}' is no command of prsr; choose one of {', '.join(COMMANDS)}")


if __name__ == "__main__":
    main()
