"""How tasks vary, as people write it: `NAME=5:15`, `NAME=1,2,3`, mixtures and more.

Pure Python, so that a wrong flag answers without importing JAX.
"""

import math
from typing import NamedTuple

from dmaml_jax.errors import UsageError

FORMS = (
    "NAME=LOW:HIGH, NAME=log:LOW:HIGH, NAME=normal:MEAN:DEVIATION:LOW:HIGH, "
    "NAME=VALUE,VALUE,..., a mixture of those as NAME=5:7|13:15 with weights as "
    "NAME=0.8*5:7|0.2*13:15, or NAME,NAME=circle:RADIUS"
)
_SWITCHES = {"true": True, "false": False}
_LENGTHS = {"uniform": 2, "log": 2, "normal": 4, "circle": 1}


class Varied(NamedTuple):
    """How one parameter varies; of a circle, two parameters.

    Attributes:
        kind: one of uniform, log, normal, list, mixture and circle.
        numbers: the bounds, moments or values; of a mixture the weights.
        parts: the parts of a mixture; empty for any other kind.
    """

    kind: str
    numbers: tuple[float, ...]
    parts: tuple["Varied", ...] = ()


def parse_vary(
    vary: tuple[str, ...], flag: str = "--vary"
) -> dict[tuple[str, ...], Varied]:
    """Read `NAME=…` items of a flag.

    Returns:
        Names (two of a circle, else one) to how they vary.

    Raises:
        UsageError: an item is no such thing, or its range is reversed or not finite.

    Example:
        >>> parse_vary(("gravity=5:15",))
        {('gravity',): Varied(kind='uniform', numbers=(5.0, 15.0), parts=())}
    """
    found: dict[tuple[str, ...], Varied] = {}
    for item in vary:
        left, _, right = str(item).partition("=")
        names = tuple(left.split(","))
        if not all(names):
            raise _wrong(f"{flag} {item}")
        for name in names:
            if any(name in others for others in found) or names.count(name) > 1:
                raise UsageError(f"{flag} names {name!r} twice: give it one range.")
        parts = [_law(f"{flag} {item}", part) for part in right.split("|")]
        laws = [law for law, _ in parts]
        if (len(names) == 2) != (laws[0].kind == "circle") or len(names) > 2:
            raise _wrong(f"{flag} {item}")
        if len(laws) == 1 and parts[0][1] == 1:
            found[names] = laws[0]
        elif any(law.kind == "circle" for law in laws):
            raise _wrong(f"{flag} {item}")
        else:
            weights = tuple(weight for _, weight in parts)
            found[names] = Varied("mixture", weights, tuple(laws))
    if not found:
        raise UsageError(
            f"{flag} needs at least one NAME=LOW:HIGH, so that tasks differ."
        )
    return found


def is_listed(how: Varied) -> bool:
    """Whether all values of a law are written out, one by one."""
    if how.kind == "mixture":
        return all(is_listed(part) for part in how.parts)
    return how.kind == "list"


def parse_values(items: tuple[str, ...], flag: str) -> dict[str, float | bool]:
    """Read `NAME=VALUE` items of a flag; a value is a finite number, true or false.

    Raises:
        UsageError: an item is no such thing.

    Example:
        >>> parse_values(("gravity=9.8", "enable_wind=true"), "--set")
        {'gravity': 9.8, 'enable_wind': True}
    """
    found: dict[str, float | bool] = {}
    for item in items:
        name, _, text = str(item).partition("=")
        if name in found:
            raise UsageError(f"{flag} names {name!r} twice: give it one value.")
        value = _value(text)
        if value is None or not name:
            raise UsageError(
                f"{flag} takes NAME=VALUE, such as gravity=9.8, and not {item!r}."
            )
        found[name] = value
    return found


def _value(text: str) -> float | bool | None:
    """A finite number, a switch, or None for anything else."""
    if text.lower() in _SWITCHES:
        return _SWITCHES[text.lower()]
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def beyond(vary: tuple[str, ...], positive: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Ranges next to those of training: a quarter of its width further, both ways.

    Args:
        vary: the `NAME=…` items that training varied.
        positive: the parameters whose values must stay above 0.

    Returns:
        Items of the same form; of ranges and circles only, as what is beyond a list is
        for the user to say.

    Example:
        >>> beyond(("gravity=5:15", "goal_x,goal_y=circle:0.5"))
        ('gravity=2.5:5|15:17.5', 'goal_x,goal_y=circle:0.625')
        >>> beyond(("length=0.1:1",), positive=("length",))
        ('length=1:1.225',)
    """
    items = []
    for names, how in parse_vary(vary).items():
        if how.kind == "circle":
            items.append(f"{','.join(names)}=circle:{how.numbers[0] * 1.25:g}")
        if how.kind not in ("uniform", "log", "normal"):
            continue
        low, high = how.numbers[-2:]
        wide = (high - low) / 4
        bands = [f"{low - wide:g}:{low:g}", f"{high:g}:{high + wide:g}"]
        if names[0] in positive and low - wide <= 0:
            bands = bands[1:]
        if low < high:
            items.append(f"{names[0]}={'|'.join(bands)}")
    return tuple(items)


def _law(said: str, text: str) -> tuple[Varied, float]:
    """One part of a mixture and its weight; the whole of anything else.

    Args:
        said: the flag and the item, for errors.
        text: the part as it is written, without the `|`.
    """
    weight, star, text = text.rpartition("*")
    words = text.split(":")
    kind = words.pop(0) if words[0] in ("log", "normal", "circle") else "uniform"
    if len(words) == 1 and kind == "uniform":
        kind, words = "list", words[0].split(",")
    try:
        numbers = tuple(float(word) for word in words)
        share = float(weight) if star else 1.0
    except ValueError:
        raise _wrong(said) from None
    if len(numbers) != _LENGTHS.get(kind, len(numbers)):
        raise _wrong(said)
    if not all(map(math.isfinite, numbers)) or not 0 < share < math.inf:
        raise UsageError(f"{said}: its numbers must be finite, and weights above 0.")
    if kind in ("uniform", "log", "normal") and numbers[-2] > numbers[-1]:
        low, high = words[-2:]
        raise UsageError(
            f"{said}: a range must have LOW <= HIGH; write {high}:{low} if the "
            "two are swapped."
        )
    if kind == "circle" and numbers[0] <= 0:
        raise UsageError(f"{said}: a circle's radius must be above 0.")
    return Varied(kind, numbers), share


def _wrong(said: str) -> UsageError:
    return UsageError(f"{said} cannot be read: write {FORMS}.")
