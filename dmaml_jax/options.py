"""How a value of a run is declared, and what may be given for it.

A value belongs to an *owner*, a frozen dataclass whose fields `option` makes. The
command line, `make_train_step` and config.json all take what the owners declare. This
file imports no JAX, so that a wrong value is told at once.
"""

import dataclasses
import functools
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from dmaml_jax.errors import UsageError


class Rule(NamedTuple):
    """What numbers are allowed.

    Attributes:
        holds: `(number) -> bool`, called with a number of the field's own type.
        words: the same for people, as in "it must be a whole number, 1 or more".
    """

    holds: Callable[[Any], bool]
    words: str


COUNT = Rule(lambda number: number >= 1, "a whole number, 1 or more")
FROM_0 = Rule(lambda number: number >= 0, "a whole number from 0")
FINITE = Rule(math.isfinite, "a finite number")
STEP_SIZE = Rule(
    lambda number: math.isfinite(number) and number >= 0, "a finite number, 0 or more"
)
ABOVE_0 = Rule(
    lambda number: math.isfinite(number) and number > 0, "a finite number above 0"
)
SHARE = Rule(lambda number: 0 <= number <= 1, "a number from 0 to 1")
SHARE_BELOW_1 = Rule(lambda number: 0 <= number < 1, "a number from 0 below 1")
COUNTS = Rule(lambda number: number >= 1, "whole numbers, 1 or more each")

_ANY = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a word",
}


class Option(NamedTuple):
    """One declared value.

    Attributes:
        name: the name of the field and of the keyword argument.
        type: `int`, `float`, `bool`, `str`, a `Literal` of strings, `float | None`,
            or a tuple of any length of one of the first four.
        default: the value where nobody says another.
        help: one line that the command line shows, with the symbol in front.
        allowed: what numbers may be given; any of the type if None.
        traced: whether a `jax.Array` may stand for the number, so that a caller can
            differentiate or vmap over it.
        where: the values of other fields, of any owner, with which this one has an
            effect, by name; empty if it always has.
    """

    name: str
    type: Any
    default: Any
    help: str
    allowed: Rule | None
    traced: bool
    where: Mapping[str, tuple[str, ...]]

    @property
    def flag(self) -> str:
        """How the command line spells it, such as `--inner-lr`."""
        return flag(self.name)

    @property
    def words(self) -> str:
        """What may be given, as in "it must be a whole number, 1 or more"."""
        if self.allowed is not None:
            return self.allowed.words + (", or None" if self._optional else "")
        if get_origin(self.type) is Literal:
            return f"one of {', '.join(get_args(self.type))}"
        if get_origin(self.type) is tuple:
            return "a tuple of strings, such as ('gravity=5:15',)"
        return _ANY[self.type]

    @property
    def belongs_to(self) -> str:
        """The choices with which it has an effect, as in "--method ac"."""
        return " and ".join(
            f"{flag(name)} {' or '.join(choices)}"
            for name, choices in self.where.items()
        )

    @property
    def _optional(self) -> bool:
        return type(None) in get_args(self.type)


def option(
    default: Any,
    help: str,
    *,
    symbol: str = "",
    allowed: Rule | None = None,
    traced: bool = False,
    where: tuple[str, str] | Mapping[str, str | tuple[str, ...]] | None = None,
) -> Any:
    """A field of an owner.

    Args:
        default: the value where nobody says another.
        help: one line that the command line shows; the symbol is put in front.
        symbol: what the paper calls it.
        allowed: what numbers may be given.
        traced: whether it may be a `jax.Array`.
        where: another field and its value with which this one has an effect; or
            several fields, of any owner, each with a value or values.

    Returns:
        What `dataclasses.field` returns.
    """
    said = f"{symbol}: {help}" if symbol else help
    conditions = dict([where] if isinstance(where, tuple) else where or {})
    choices = {
        name: (choice,) if isinstance(choice, str) else choice
        for name, choice in conditions.items()
    }
    told = {"help": said, "allowed": allowed, "traced": traced, "where": choices}
    return dataclasses.field(default=default, metadata=told)


@functools.cache
def options_of(owner: type) -> Mapping[str, Option]:
    """What an owner declares, by name, in the order of its fields."""
    types = get_type_hints(owner)
    return {
        field.name: Option(
            field.name, types[field.name], field.default, **field.metadata
        )
        for field in dataclasses.fields(owner)
    }


def applies(option: Option, values: Mapping[str, Any]) -> bool:
    """Whether an option has an effect.

    Args:
        option: the declared value in question.
        values: the values of all owners, by name.
    """
    return all(values.get(name) in choices for name, choices in option.where.items())


def flag(name: str) -> str:
    """The flag of a value.

    Example:
        >>> flag("inner_lr")
        '--inner-lr'
    """
    return "--" + name.replace("_", "-")


def named(written: str) -> str:
    """The name of a value from how people write it, as a flag or without the dashes.

    Example:
        >>> named("--inner-lr"), named("inner-lr")
        ('inner_lr', 'inner_lr')
    """
    return written.removeprefix("--").replace("-", "_")


def checked(option: Option, value: Any) -> Any:
    """A value that may be given for an option; lists become tuples.

    Args:
        option: the declared value that something was given for.
        value: what was given, of any type.

    Returns:
        The value.

    Raises:
        UsageError: it is of another type, or not allowed.
    """
    if is_traced(value):
        return _checked_array(option, value)
    if get_origin(option.type) is tuple:
        return _checked_items(option, value)
    if not _is_allowed(option, option.type, value):
        raise _wrong(option, value)
    return value


def require_allowed(owner: Any) -> None:
    """Refuse an owner whose values are of another type, or not allowed.

    Raises:
        UsageError: the first such value.
    """
    for name, option in options_of(type(owner)).items():
        checked(option, getattr(owner, name))


def is_traced(value: Any) -> bool:
    """Whether a value is a `jax.Array`, as tracers are; found without importing JAX."""
    array = getattr(sys.modules.get("jax"), "Array", None)
    return array is not None and isinstance(value, array)


def _checked_array(option: Option, value: Any) -> Any:
    if not option.traced:
        raise UsageError(
            f"{option.flag} is a jax.Array, but the program depends on its value, so "
            f"it must be {option.words}."
        )
    if value.shape != ():
        raise UsageError(
            f"{option.flag} is an array of shape {value.shape}, but it must be one "
            "number: vmap over several."
        )
    if getattr(value.dtype, "kind", "O") not in "iufV":  # V is bfloat16 and its like
        raise UsageError(
            f"{option.flag} is an array of type {value.dtype}, but it must be "
            f"{option.words}."
        )
    return value


def _checked_items(option: Option, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        raise _wrong(option, value)
    kind, _ = get_args(option.type)
    if not all(_is_allowed(option, kind, item) for item in value):
        raise _wrong(option, value)
    return tuple(value)


def _is_allowed(option: Option, kind: Any, value: Any) -> bool:
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if type(None) in get_args(kind):
        if value is None:
            return True
        (kind,) = (each for each in get_args(kind) if each is not type(None))
    # By the exact type: a bool is an int to Python, and a NumPy float a float.
    if type(value) not in ((int, float) if kind is float else (kind,)):
        return False
    return option.allowed is None or bool(option.allowed.holds(value))


def _wrong(option: Option, value: Any) -> UsageError:
    if type(value).__module__ == "numpy":
        plain = "int" if option.type is int else "float"
        return UsageError(
            f"{option.flag} is {value!r}, a number of NumPy's, but it must be a plain "
            f"one, {option.words}: give {plain}(x)."
        )
    shown = repr(value)
    if isinstance(value, tuple | list) and get_origin(option.type) is tuple:
        shown = " ".join(map(str, value)) or "empty"
    return UsageError(f"{option.flag} is {shown}, but it must be {option.words}.")
