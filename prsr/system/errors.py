"""The exception for errors that the user can fix, and helpers for error messages."""


class UserError(Exception):
    """An error that the user can fix.

    Its one-line message says expected and received values, and what to do. Commands print it and
    exit with status 1, without a traceback (`prsr.flags.run`).
    """


def cause(error: BaseException) -> str:
    """Returns the last part of a TensorFlow error, without where it happened."""
    return first_line(error).rsplit(": ", 1)[-1]


def first_line(error: BaseException) -> str:
    """Returns the first line of another library's error, or its type if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
