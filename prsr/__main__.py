"""All commands under one name: prsr COMMAND --flag=value, or python -m prsr COMMAND."""

import importlib
import runpy
import sys

from prsr.system import progress
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


def overview():
    """The text of `prsr --help`: a line for each command, the first of its docstring."""
    lines = ["Pixel Recursive Super Resolution. Commands:", ""]
    for command in COMMANDS:
        summary = importlib.import_module(f"prsr.{command}").__doc__.splitlines()[0].rstrip(".")
        lines.append(f"  {command:8}  {summary}")
    lines += ["", "prsr COMMAND --help lists its flags; prsr COMMAND means python -m prsr.COMMAND."]
    return "\n".join(lines)


def main():
    """Runs the command that the first argument names."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in ("--help", "-h"):
        with progress.unread():
            print(overview())
    elif command == "--version":
        print(f"prsr {__version__}")
    elif command in COMMANDS:
        # As after python -m prsr.COMMAND: with its arguments, and as the program.
        sys.argv[1:] = arguments
        runpy.run_module(f"prsr.{command}", run_name="__main__", alter_sys=True)
    else:
        sys.exit(f"error: '{command}' is no command of prsr; choose one of {', '.join(COMMANDS)}")


if __name__ == "__main__":
    main()
