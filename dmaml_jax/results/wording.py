"""How results are worded: policies, tables, verdicts, intervals and costs."""

from collections.abc import Mapping, Sequence

import numpy as np

from dmaml_jax.results.curves import COSTS, Summary
from dmaml_jax.statistics import Interval

STARTS = {
    "meta": "meta-learned",
    "random": "random start",
    "medium": "medium task alone",
    "scratch": "from scratch",
}
"""What adaptation starts from, by the names in evaluation.csv and evaluation.json."""


def table(rows: Sequence[Summary], threshold: float | None) -> list[str]:
    """The lines of a table of summaries."""
    heads = ["run", "seeds", "final return", "mean over the run"]
    if threshold is not None:
        heads += [f"reach {threshold:g}", "epochs", "steps", "seconds"]
    heads += ["final, to the first", "P(better)"] if len(rows) > 1 else []
    cells = [heads]
    for row in rows:
        alive = f"{row.seeds}"
        if row.alive < row.seeds:
            alive += f", {row.seeds - row.alive} frozen"
        line = [row.label, alive, text(row.final), text(row.average)]
        if threshold is not None:
            line.append(f"{row.reached} of {row.seeds}")
            line += [amount(row.to_threshold[name]) for name in COSTS]
        if len(rows) > 1:
            line += [text(row.final_difference, "+"), text(row.improvement, "", 2)]
        cells.append(line)
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def verdict(row: Summary, first: Summary) -> str:
    """What can be said of a run against the first, in a sentence."""
    against = f"{row.label} against {first.label}"
    if row.pairs < 2 or row.final_difference is None or row.average_difference is None:
        return (
            f"{against}: fewer than two seeds match, so nothing can be said of the "
            "difference."
        )
    if not np.isfinite(row.final_difference.value):
        return (
            f"{against}: no matching seeds are alive in both, so nothing can be said."
        )
    parts = []
    for name, difference in (
        ("the final return", row.final_difference),
        ("the mean over the run", row.average_difference),
    ):
        where = f"{text(difference, '+')}"
        if not np.isfinite(difference.low):
            parts.append(f"{name} differs by {where}, of too few living pairs to judge")
        elif difference.low > 0 or difference.high < 0:
            higher = "higher" if difference.value > 0 else "lower"
            parts.append(f"{name} is significantly {higher}, {where}")
        else:
            parts.append(f"the difference of {name} is not significant, {where}")
    pairs = f"{row.pairs} matching seeds"
    if row.living_pairs < row.pairs:
        pairs += f", {row.living_pairs} of them alive in both"
    return f"{against} ({pairs}): {'; '.join(parts)}."


def text(interval: Interval | None, sign: str = "", digits: int = 1) -> str:
    """`value [low, high]`; the value alone without an interval."""
    if interval is None or not np.isfinite(interval.value):
        return "-"
    value, low, high = (f"{x:{sign}.{digits}f}" for x in interval)
    return f"{value} [{low}, {high}]" if np.isfinite(interval.low) else value


def interval_of(kept: Mapping[str, float | None]) -> Interval:
    """An interval as evaluation.json keeps it, where null stands for no number."""
    ends = (kept["mean"], kept["low"], kept["high"])
    return Interval(*(np.nan if end is None else end for end in ends))


def amount(number: float) -> str:
    """A median cost: never, or a number as people write it."""
    if np.isinf(number):
        return "never"
    return (
        f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.1f}"
    )
