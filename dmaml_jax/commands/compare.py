"""The compare command: a table and a figure of several runs."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dmaml_jax.commands.options import Compare
from dmaml_jax.pictures.plots import draw_comparison
from dmaml_jax.results.curves import (
    COSTS,
    Curves,
    Summary,
    common_threshold,
    on_grid,
    read_runs,
    summarise,
)
from dmaml_jax.runs.folder import shown
from dmaml_jax.statistics import Interval


def compare(options: Compare) -> int:
    """Print a table of runs, and write it and a figure of their curves.

    Args:
        options: of the command.

    Returns:
        The exit code, 0.

    Raises:
        UsageError: a folder holds no run, or no epoch is finished.
    """
    runs = read_runs(options.runs)
    threshold = options.threshold
    if threshold is None:
        threshold = common_threshold(runs)
    rows = summarise(runs, threshold)
    out = Path(options.out).expanduser()
    out.mkdir(parents=True, exist_ok=True)
    _write_table(out / "comparison.csv", rows)
    draw_comparison(
        {run.label: on_grid(run, options.x) for run in runs},
        out / "comparison.png",
        x=_AXES[options.x],
        threshold=threshold,
    )
    for line in table(rows, threshold):
        print(line)
    print()
    for row in rows[1:]:
        print(verdict(row, rows[0]))
    for note in _notes(runs):
        print(f"note: {note}")
    print(f"in {shown(out.resolve())}: comparison.csv, comparison.png")
    return 0


_AXES = {
    "epochs": "epoch",
    "steps": "environment steps per seed",
    "seconds": "seconds of training, all seeds side by side",
}


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
    return f"{against} ({row.pairs} matching seeds): {'; '.join(parts)}."


def text(interval: Interval | None, sign: str = "", digits: int = 1) -> str:
    """`value [low, high]`; the value alone without an interval."""
    if interval is None or not np.isfinite(interval.value):
        return "-"
    value, low, high = (f"{x:{sign}.{digits}f}" for x in interval)
    return f"{value} [{low}, {high}]" if np.isfinite(interval.low) else value


def amount(number: float) -> str:
    """A median cost: never, or a number as people write it."""
    if np.isinf(number):
        return "never"
    return (
        f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.1f}"
    )


def _notes(runs: Sequence[Curves]) -> list[str]:
    notes = []
    if len({run.config.env for run in runs}) > 1:
        notes.append("the runs are of different environments: returns do not compare.")
    if len({len(run.smoothed) for run in runs}) > 1:
        notes.append(
            "the runs have different numbers of epochs: each ends where it ended, and "
            "a longer one has a longer mean."
        )
    if any(len(run.seeds) < 2 for run in runs):
        notes.append("a single seed has no interval: give --seeds 5 or more.")
    return notes


def _write_table(path: Path, rows: Sequence[Summary]) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    ends = ("", "_low", "_high")
    intervals = (
        "final",
        "average",
        "final_difference",
        "average_difference",
        "improvement",
    )
    heads = [f"{name}{end}" for name in intervals for end in ends]
    medians = [f"median_{name}_to_threshold" for name in COSTS]
    writer.writerow(["run", "seeds", "alive", "reached", *medians, "pairs", *heads])
    for row in rows:
        numbers = [x for name in intervals for x in getattr(row, name) or [""] * 3]
        costs = [row.to_threshold.get(name, "") for name in COSTS]
        start = [row.label, row.seeds, row.alive, row.reached, *costs, row.pairs]
        cells = ["" if x is None or x != x else x for x in (*start, *numbers)]
        writer.writerow(cells)
    aside = path.with_name(f".{path.name}")
    aside.write_text(file.getvalue())
    os.replace(aside, path)
