"""An estimate with its interval, which all statistics of several runs return."""

from typing import NamedTuple

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """An estimate and the ends of its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float
