"""What a page says of runs: single numbers and comparisons, in words, from the tables.

A page asks by `RUN|WHAT` or `RUN|WHAT|OTHER RUN`, such as `cartpole-pg/MAML|reached`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dmaml_jax.statistics import (
    Interval,
    median_with_never,
    paired_difference,
    paired_ratio,
    probability_of_improvement,
)
from experiments.engine.results import Results, Row

NOT_RUN = "(not run)"


def said(results: Results, question: str) -> str:
    """The answer to a question, or that its run has not ended.

    Raises:
        KeyError: there is no such question.
    """
    name, what, *others = question.split("|")
    rows = {row["run"]: row for row in results.runs}
    if what in COMPARISONS and len(others) == 1:
        if name in rows and others[0] in rows:
            return COMPARISONS[what](results, name, others[0])
        return NOT_RUN
    if what in FACTS and not others:
        return FACTS[what](results, rows[name]) if name in rows else NOT_RUN
    raise KeyError(f"no page can ask {{{question}}}")


def _fact(column: str) -> Callable[[Results, Row], str]:
    return lambda results, row: str(row[column])


def _median(column: str, unit: float = 1.0) -> Callable[[Results, Row], str]:
    def text(results: Results, row: Row) -> str:
        return quartiles(results.column(row["run"], column) / unit)

    return text


def _mean(column: str) -> Callable[[Results, Row], str]:
    return lambda results, row: interval(results.interval(row["run"], column))


def _worst(column: str) -> Callable[[Results, Row], str]:
    def text(results: Results, row: Row) -> str:
        return number(np.nanmax(results.column(row["run"], column)))

    return text


def _reached(results: Results, row: Row) -> str:
    epochs = results.column(row["run"], "epochs_to_threshold")
    return f"{int(np.isfinite(epochs).sum())} of {len(epochs)}"


def _alive(results: Results, row: Row) -> str:
    finals = results.column(row["run"], "final")
    return f"{int(np.isfinite(finals).sum())} of {len(finals)}"


def _share(column: str) -> Callable[[Results, Row], str]:
    def text(results: Results, row: Row) -> str:
        values = 100 * results.column(row["run"], column)
        return f"{number(np.median(values))}, {number(np.max(values))}"

    return text


def _median_and_worst(column: str) -> Callable[[Results, Row], str]:
    def text(results: Results, row: Row) -> str:
        values = results.column(row["run"], column)
        return f"{number(np.median(values))}, {number(np.max(values))}"

    return text


FACTS: dict[str, Callable[[Results, Row], str]] = {
    "seeds": _fact("seeds"),
    "asked": _fact("asked"),
    "epochs": _fact("epochs"),
    "values": _fact("values"),
    "threshold": _fact("threshold"),
    "settled": _fact("settled"),
    "reached": _reached,
    "alive": _alive,
    "epochs to threshold": _median("epochs_to_threshold"),
    "steps to threshold": _median("steps_to_threshold", 1000),
    "final": _mean("final"),
    "average": _mean("average"),
    "best": _mean("best"),
    "converged": _median("converged"),
    "gain": _mean("gain"),
    "plateau": _median("plateau"),
    "deviation": _median_and_worst("deviation"),
    "worst drop": _median_and_worst("worst_drop"),
    "greatest drop": _worst("worst_drop"),
    "share under": _share("share_under"),
}
"""Questions about one run."""


def _ratio(column: str) -> Callable[[Results, str, str], str]:
    def text(results: Results, one: str, other: str) -> str:
        return interval(paired_ratio(*results.paired(one, other, column)), 2)

    return text


def _difference(column: str) -> Callable[[Results, str, str], str]:
    def text(results: Results, one: str, other: str) -> str:
        return interval(paired_difference(*results.paired(one, other, column)))

    return text


def _better(column: str, sign: int = 1) -> Callable[[Results, str, str], str]:
    def text(results: Results, one: str, other: str) -> str:
        x, y = (sign * results.column(name, column) for name in (one, other))
        return interval(probability_of_improvement(x, y), 2)

    return text


COMPARISONS: dict[str, Callable[[Results, str, str], str]] = {
    "ratio of epochs": _ratio("epochs_to_threshold"),
    "ratio of steps": _ratio("steps_to_threshold"),
    "difference": _difference("average"),
    "difference at the end": _difference("final"),
    "better": _better("average"),
    "sooner": _better("epochs_to_threshold", -1),
    "sooner by steps": _better("steps_to_threshold", -1),
}
"""Questions about two runs; ratios and differences are paired by seed."""


def number(value: Any, digits: int | None = None) -> str:
    """A number with as many digits as help, or "never"."""
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "never"
    if digits is None:
        size = abs(value)
        digits = 0 if size >= 1000 or value == round(value) else 1 if size >= 1 else 3
    return f"{value:,.{digits}f}".replace("-", "−")


def interval(found: Interval, digits: int | None = None) -> str:
    """An estimate with its 95 % interval, in its own digits."""
    if digits is None:
        digits = 1 if not np.isnan(found.value) and abs(found.value) < 1000 else 0
    value = number(found.value, digits)
    if np.isnan(found.low) or np.isnan(found.high):
        return value
    return f"{value} [{number(found.low, digits)}, {number(found.high, digits)}]"


def quartiles(values: np.ndarray) -> str:
    """The median and the quartiles of values in which inf says "never"."""
    values = np.sort(values[~np.isnan(values)])
    if not len(values):
        return "–"
    places = [(len(values) - 1) * share for share in (0.25, 0.75)]
    # Not interpolated: half of the way to "never" is no number.
    low, high = values[int(np.floor(places[0]))], values[int(np.ceil(places[1]))]
    median = median_with_never(values)
    if low == median == high:
        return number(median)
    return f"{number(median)} [{number(low)}, {number(high)}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
