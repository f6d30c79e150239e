"""Numbers that every benchmark tells: medians with quartiles, and words around them."""

import statistics
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple


class Quartiles(NamedTuple):
    """Median and quartiles of `count` numbers."""

    low: float
    median: float
    high: float
    count: int

    def text(self, scale: float = 1.0) -> str:
        """`median [low, high]`."""
        low, median, high = (f"{x * scale:.3g}" for x in self[:3])
        return f"{median} [{low}, {high}]"


def quartiles(values: Sequence[float]) -> Quartiles:
    """Median and quartiles, interpolated."""
    padded = values if len(values) > 1 else [*values] * 2
    return Quartiles(
        *statistics.quantiles(padded, n=4, method="inclusive"), len(values)
    )


def plural(count: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count} {noun}{'s' if count > 1 else ''}"


def say(message: str) -> None:
    """Tell the person who waits."""
    print(f"{time.strftime('%H:%M:%S')}  {message}", file=sys.stderr, flush=True)
