"""The words of a command line: which flags they give, each with its values.

This is the one place that settles how flags may be written, for every command:
`--flag value` and `--flag=value` are the same, `--vary a --vary b` and `--vary a b` are
the same for flags that take NAME=VALUE items, and any other flag is given once. What a
value means is left to tyro.
"""

import contextlib
import dataclasses
import io
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dmaml_jax.errors import UsageError, did_you_mean
from dmaml_jax.options import flag

REPEATED = (
    "--vary",
    "--set",
    "--medium-values",
    "--task",
    "--out-of-range",
    "--grid",
)
"""Flags whose values add up when they are given several times."""
_SWITCHES = ("--dry-run", "--distributed", "--profile")  # alone they say True
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
        UsageError: a flag that does not exist or is given twice, or a value that
            cannot be read.
        SystemExit: tyro has printed help.
    """
    import tyro

    fields: Any = kind
    known = [flag(own.name) for own in dataclasses.fields(fields)]
    for given in flags_of(words):
        plain = given.replace("--no-", "--", 1)
        if given and given != "--help" and given not in known and plain not in known:
            raise no_such_flag(given, name, known)
    prog, args = f"dmaml-jax {name}", settled(words)
    return in_a_sentence(lambda: tyro.cli(kind, prog=prog, args=args), prog)


def no_such_flag(given: str, name: str, known: Sequence[str]) -> UsageError:
    """Why a flag cannot be given to a command that does not have it.

    Args:
        given: the flag as it was typed, such as `--inner-rl`.
        name: the name of the command, such as `train`.
        known: the flags that the command has.
    """
    return UsageError(
        f"There is no flag {given}: dmaml-jax {name} --help lists those that there "
        f"are.{did_you_mean(given, known, str)}"
    )


def in_a_sentence(read: Callable[[], Flags], prog: str) -> Flags:
    """What `read` returns; what tyro refuses in a box is told in one sentence.

    Args:
        read: a function that lets tyro parse the command line.
        prog: the command, as `dmaml-jax train`, whose `--help` is pointed to.

    Raises:
        UsageError: tyro cannot read a value, misses one or has one too many.
        SystemExit: tyro has printed help.
    """
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return read()
    except SystemExit as end:
        if end.code != 2:
            raise
    raise UsageError(f"{_told(box.getvalue())}: {prog} --help tells what there is.")


_NUMBERS = (
    (r"Error parsing (\S+): invalid literal for int\(\).*?: (.*)", "a whole number"),
    (r"Error parsing (\S+): could not convert string to float: (.*)", "a number"),
    (
        r"Error parsing (\S+): .*\{None\}\|INT.* from \[(.*?)\].*",
        "a whole number or None",
    ),
    (r"Error parsing (\S+): .*\{None\}\|FLOAT.* from \[(.*?)\].*", "a number or None"),
)


def _told(box: str) -> str:
    """The words of tyro's box, without its frame and what it says of help.

    Where the output has no characters for a frame, a rule stands below the title.
    """
    lines = [line.strip("│| ") for line in box.strip().splitlines()]
    start = 1 if lines[0].startswith("╭") else 2
    rules = [i for i, line in enumerate(lines) if line and not line.strip("─-╰╯")]
    end = next((i for i in rules if i >= start), len(lines))
    said = " ".join(lines[start:end])
    said = " ".join(said.partition("Got errors:")[0].split()).rstrip(".")
    for pattern, kind in _NUMBERS:
        if found := re.fullmatch(pattern, said):
            return f"{found[1]} is {found[2]}, but it must be {kind}"
    if found := re.match(r"Missing from dmaml-jax [\w-]+: (\S+)", said):
        return f"{found[1]} is missing"
    if found := re.fullmatch("Unrecognized options: (.*)", said):
        return f"Nothing takes {found[1]}, as a value stands after its flag"
    return said
