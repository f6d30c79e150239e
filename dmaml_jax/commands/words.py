"""The words of a command line: which flags they give, each with its values.

This is the one place that settles how flags may be written, for every command:
`--flag value` and `--flag=value` are the same, `--vary a --vary b` and `--vary a b` are
the same for flags that take NAME=VALUE items, and any other flag is given once. What a
value means is left to tyro.
"""

from collections.abc import Sequence
from typing import TypeVar

from dmaml_jax.errors import UsageError

REPEATED = (
    "--vary",
    "--set",
    "--medium-values",
    "--task",
    "--out-of-range",
    "--grid",
)
"""Flags whose values add up when they are given several times."""
_SWITCHES = ("--dry-run",)  # alone they say True
_SHORT = {
    "-q": ["--verbosity", "quiet"],
    "-v": ["--verbosity", "verbose"],
    "-h": ["--help"],
}
Flags = TypeVar("Flags")


def flags_of(words: Sequence[str]) -> dict[str, list[str]]:
    """The words after each flag, by flag; those before the first stand under "".

    Raises:
        UsageError: a flag that takes one value is given twice.

    Example:
        >>> flags_of(["runs/a", "--task=x=1", "--seed", "3", "--task", "y=2"])
        {'': ['runs/a'], '--task': ['x=1', 'y=2'], '--seed': ['3']}
    """
    found: dict[str, list[str]] = {"": []}
    current = ""
    for word in (part for given in words for part in _SHORT.get(given, [given])):
        if not word.startswith("--"):
            found[current].append(word)
            continue
        name, equals, value = word.partition("=")
        current = name.replace("_", "-")
        if current in found and current not in REPEATED:
            raise UsageError(f"{current} is given twice: give it once.")
        found.setdefault(current, []).extend([value] if equals else [])
    for name in _SWITCHES:
        if found.get(name) == []:
            found[name] = ["True"]
    return found


def settled(words: Sequence[str]) -> list[str]:
    """The same command line with every flag written once, its values after it.

    Raises:
        UsageError: a flag that takes one value is given twice.
    """
    flags = flags_of(words)
    positional = flags.pop("")
    return positional + [part for name, own in flags.items() for part in (name, *own)]


def parsed(kind: type[Flags], name: str, words: Sequence[str]) -> Flags:
    """The flags of a command, as its dataclass.

    Args:
        kind: the dataclass of the command's flags.
        name: the command's name, which `--help` shows.
        words: the words of the command line after that name.

    Raises:
        UsageError: a flag that takes one value is given twice.
        SystemExit: tyro has printed help, or what is wrong.
    """
    import tyro

    return tyro.cli(kind, prog=f"dmaml-jax {name}", args=settled(words))
