"""The one exception for wrong input, and how it guesses what was meant."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """Wrong input: one sentence with what was wrong, what is allowed, what to do.

    The command line prints it without a traceback and exits with code 2.
    """


def did_you_mean(
    word: str, known: Iterable[str], shown: Callable[[str], str] = repr
) -> str:
    """The end of a sentence on an unknown word; empty where no known one is similar.

    Args:
        word: the unknown word that was given.
        known: the words that there are.
        shown: how the similar word is written; in quotes by default.

    Example:
        >>> did_you_mean("trian", ("report", "train"))
        " Did you mean 'train'?"
        >>> did_you_mean("sleep", ("report", "train"))
        ''
    """
    close = get_close_matches(word, list(known), n=1)
    return f" Did you mean {shown(close[0])}?" if close else ""
