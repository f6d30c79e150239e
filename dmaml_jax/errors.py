"""The one exception for wrong input."""


class UsageError(ValueError):
    """Wrong input: one sentence with what was wrong, what is allowed, what to do.

    The command line prints it without a traceback and exits with code 2.
    """
