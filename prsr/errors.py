"""The one exception that a command answers with a single line."""


class UserError(Exception):
    """What the user gave cannot work.

    Its message is one line: what was expected, what came, and what to do. Commands
    print it and exit with 1, without a traceback (`prsr.flags.run`).
    """
