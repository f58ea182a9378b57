"""The one exception that a command answers with a single line."""


class UserError(Exception):
    """What the user gave cannot work.

    Its message is one line: what was expected, what came, and what to do. Commands
    print it and exit with 1, without a traceback (`prsr.flags.run`).
    """


def cause(error: BaseException) -> str:
    """What an error of TensorFlow's says last, behind where it happened."""
    return first_line(error).rsplit(": ", 1)[-1]


def first_line(error: BaseException) -> str:
    """The first line of another library's error, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
