"""The compare command: a table and a figure of several runs."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from dmaml_jax.commands.options import RunFolders, require_runs
from dmaml_jax.commands.words import parsed
from dmaml_jax.errors import UsageError
from dmaml_jax.files import write_csv
from dmaml_jax.pictures.plots import draw_comparison
from dmaml_jax.results.comparable import cautions, of_one_environment
from dmaml_jax.results.curves import (
    COSTS,
    Curves,
    Summary,
    common_threshold,
    on_grid,
    read_runs,
    summarise,
)
from dmaml_jax.results.wording import table, verdict
from dmaml_jax.runs.folder import output_folder, shown
from dmaml_jax.training import devices


@dataclasses.dataclass(frozen=True)
class Compare:
    """One table and one figure of several runs, with their paired differences.

    Writes comparison.csv and comparison.png into the current folder.
    Example: dmaml-jax compare runs/maml runs/directed --x steps
    """

    runs: RunFolders
    """Run folders; every difference is to the first of them."""
    x: Literal["epochs", "steps", "seconds"] = "epochs"
    """What the figure's horizontal axis counts."""
    threshold: float | None = None
    """Return that counts as solved; None takes the runs' own, where they agree."""
    out: str = "."
    """Folder to write the table and the figure into."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: no runs, or a threshold that is not finite.
        """
        require_runs(self.runs, "compare")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise UsageError(
                f"--threshold is {self.threshold}, but it must be a finite number."
            )


def main(words: Sequence[str]) -> int:
    """Compare as the words after `compare` say; returns the exit code."""
    options = parsed(Compare, "compare", words)
    options.check()
    devices.only_cpu()
    return compare(options)


def compare(options: Compare) -> int:
    """Print a table of runs, and write it and a figure of their curves.

    Args:
        options: the command's flags; `check` has been called.

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
    out = output_folder(options.out, Path("."))
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
    for run, row in zip(runs[1:], rows[1:], strict=True):
        for caution in cautions(run, runs[0]):
            print(caution)
        if of_one_environment(run, runs[0]):
            print(verdict(row, rows[0]))
    for note in _notes(runs):
        print(f"note: {note}")
    files = [shown(out.resolve() / f"comparison.{end}") for end in ("csv", "png")]
    print(f"wrote {' and '.join(files)}")
    return 0


_AXES = {
    "epochs": "epoch",
    "steps": "environment steps per seed",
    "seconds": "seconds of training, all seeds side by side",
}


def _notes(runs: Sequence[Curves]) -> list[str]:
    notes = []
    if not all(of_one_environment(run, runs[0]) for run in runs):
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
    lines: list[list[Any]] = [
        ["run", "seeds", "alive", "reached", *medians, "pairs", *heads]
    ]
    for row in rows:
        numbers = [x for name in intervals for x in getattr(row, name) or [""] * 3]
        costs = [row.to_threshold.get(name, "") for name in COSTS]
        start = [row.label, row.seeds, row.alive, row.reached, *costs, row.pairs]
        lines.append(["" if x is None or x != x else x for x in (*start, *numbers)])
    write_csv(path, lines)
