"""What a sweep varies, as it is written: axes, and the points that they make.

An item is `NAME=FORM`, with the name of any value that `dmaml-jax train --help` shows:

    inner_lr=0.001,0.01        each of these
    directed_lr=0.001:0.05:5   5 numbers at equal distances, the ends among them
    outer_lr=1e-4:1e-2:log5    5 numbers at equal ratios
    discount=0.9:1             drawn evenly between the two, with --samples
    inner_lr=1e-4:0.1:log      drawn evenly in the logarithm, with --samples

This file imports no JAX.
"""

import math
import random
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from dmaml_jax.errors import UsageError
from dmaml_jax.options import named

MOST_LANES = 100_000
_FORMS = "NAME=A,B,C, NAME=LOW:HIGH:5 or NAME=LOW:HIGH:log5"

Point = Mapping[str, Any]
"""Values by name, as they are written or as numbers."""


class OfRange(float):
    """A number that nobody wrote down: it lies in a range that somebody gave."""


class Axis(NamedTuple):
    """One value that varies.

    Attributes:
        name: the name of the value.
        values: what it takes in turn; empty where it is drawn.
        low: the least number that may be drawn.
        high: the greatest number that may be drawn.
        log: whether it is drawn evenly in the logarithm.
    """

    name: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False


def parse_grid(items: Sequence[str], *, drawn: bool) -> list[Axis]:
    """The axes of items such as `inner_lr=0.001,0.01`.

    Args:
        items: the items, each of another name.
        drawn: whether settings are drawn, so that a range needs no number of values.

    Raises:
        UsageError: an item of no known form, or a name that is given twice.
    """
    axes: list[Axis] = []
    for item in items:
        axis = _axis(item)
        if not axis.values and not drawn:
            raise UsageError(
                f"--grid {item} is a range to draw from: say how many values, as in "
                f"{item}5, or give --samples."
                if axis.log
                else f"--grid {item} is a range to draw from: say how many values, as "
                f"in {item}:5, or give --samples."
            )
        if axis.name in [other.name for other in axes]:
            raise UsageError(f"--grid has {axis.name} twice: give it once.")
        axes.append(axis)
    return axes


def _axis(item: str) -> Axis:
    name, equals, form = item.partition("=")
    name = named(name.strip())
    if not (name and equals and form):
        raise UsageError(f"--grid {item!r} is not of a known form: give {_FORMS}.")
    if ":" not in form:
        values = tuple(value.strip() for value in form.split(","))
        if "" in values:
            raise UsageError(f"--grid {item} has an empty value: give {_FORMS}.")
        return Axis(name, values)
    parts = form.split(":")
    count = parts[2] if len(parts) == 3 else ""
    log = count.startswith("log")
    number = count.removeprefix("log")
    try:
        low, high = float(parts[0]), float(parts[1])
        many = int(number) if number else 0
    except ValueError:
        raise UsageError(f"--grid {item} is no range: give {_FORMS}.") from None
    if len(parts) > 3 or (number and many < 2) or not low < high < math.inf:
        raise UsageError(
            f"--grid {item} is no range: it must be LOW:HIGH:NUMBER with finite LOW "
            "below HIGH, and 2 values or more."
        )
    if low == -math.inf or (log and low <= 0):
        raise UsageError(
            f"--grid {item} begins at {low:g}, but a range must begin at a finite "
            "number, and one of equal ratios above 0."
        )
    if many > MOST_LANES:
        raise UsageError(
            f"--grid {item} has {many:,} values, and a sweep at most {MOST_LANES:,} "
            "lanes: make it coarser, or draw from it with --samples."
        )
    if not many:
        return Axis(name, low=low, high=high, log=log)
    shares = [index / (many - 1) for index in range(many)]
    return Axis(name, tuple(_between(low, high, log, share) for share in shares))


def _between(low: float, high: float, log: bool, share: float) -> float:
    if share in (0, 1):
        return OfRange(high if share else low)
    between = low * (high / low) ** share if log else low + (high - low) * share
    return OfRange(f"{between:.6g}")  # as people would write it


def points(
    axes: Sequence[Axis],
    rows: Sequence[Point] = ({},),
    *,
    samples: int = 0,
    seed: int = 0,
    most: int = MOST_LANES,
) -> list[Point]:
    """All settings of a grid, or as many as are drawn from it.

    Args:
        axes: the values that vary, each with what it takes or is drawn from.
        rows: settings of a table, each of which is crossed with the axes.
        samples: how many settings to draw for each row; 0 takes all.
        seed: what the drawn ones follow from.
        most: how many settings there may be.

    Raises:
        UsageError: a name is in both, or there would be more.
    """
    both = [axis.name for axis in axes if any(axis.name in row for row in rows)]
    if both:
        raise UsageError(f"--grid and --table both have {both[0]}: leave one out.")
    each = samples or math.prod(len(axis.values) for axis in axes)
    if each * len(rows) > most:
        raise UsageError(
            f"The grid has {each * len(rows):,} settings, but with this many seeds and "
            f"learners at most {most:,} may be trained in one sweep: make it coarser, "
            "or draw from it with --samples."
        )
    names = [axis.name for axis in axes]
    if not samples:
        crossed = list(product(*(axis.values for axis in axes)))
    else:
        generator = random.Random(seed)
        crossed = [
            tuple(_drawn(axis, generator) for axis in axes) for _ in range(samples)
        ]
    return [
        {**row, **dict(zip(names, values, strict=True))}
        for row in rows
        for values in crossed
    ]


def _drawn(axis: Axis, generator: random.Random) -> Any:
    if axis.values:
        return generator.choice(axis.values)
    return _between(axis.low, axis.high, axis.log, generator.random())
