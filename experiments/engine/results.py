"""The tables of a study: read, changed, written, and asked for what follows from them.

Whatever a figure or a page shows comes from here, and so from the tables alone.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dmaml_jax.files import write_csv
from dmaml_jax.statistics import Interval, stratified_bootstrap
from experiments.engine.declared import Run, written

Row = dict[str, Any]
_TABLES = ("runs", "seeds", "choices", "cost")


class Results:
    """The tables in a folder.

    Attributes:
        folder: where they are.
        runs: the rows of runs.csv.
        seeds: the rows of seeds.csv.
        choices: the rows of choices.csv.
        cost: the rows of cost.csv.
        curves: the rows of curves-PANEL.csv, by panel.
    """

    def __init__(self, folder: Path) -> None:
        """Read what is there; a folder without tables has none."""
        self.folder = folder
        self.runs, self.seeds, self.choices, self.cost = (
            _read(folder / f"{name}.csv") for name in _TABLES
        )
        self.curves = {
            path.stem.removeprefix("curves-"): _read(path)
            for path in sorted(folder.glob("curves-*.csv"))
        }

    def write(self) -> None:
        """Write all tables; those that are empty are removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tables = {name: getattr(self, name) for name in _TABLES}
        tables |= {f"curves-{panel}": rows for panel, rows in self.curves.items()}
        for name, rows in tables.items():
            path = self.folder / f"{name}.csv"
            if rows:
                head = list(dict.fromkeys(column for row in rows for column in row))
                lines = [
                    [_cell(row.get(column, "")) for column in head] for row in rows
                ]
                write_csv(path, [head, *lines])
            else:
                path.unlink(missing_ok=True)

    def order(self, names: Sequence[str]) -> None:
        """Put the rows in the order of these runs; those of others are dropped."""
        place = {name: index for index, name in enumerate(names)}

        def sorted_rows(rows: Iterable[Row]) -> list[Row]:
            kept = [row for row in rows if row["run"] in place]
            return sorted(kept, key=lambda row: place[row["run"]])

        for name in _TABLES:
            setattr(self, name, sorted_rows(getattr(self, name)))
        self.curves = {panel: sorted_rows(rows) for panel, rows in self.curves.items()}

    def drop(self, name: str) -> None:
        """Forget what is known of a run, but for its choice."""
        for table in (self.runs, self.seeds, self.cost, *self.curves.values()):
            table[:] = [row for row in table if row["run"] != name]

    def run(self, run: Run) -> Row | None:
        """The row of a run as it is declared now; None where there is none."""
        found = [row for row in self.runs if row["run"] == run.name]
        return found[0] if found and _same(found[0], run) else None

    def ask(self, run: Run) -> None:
        """Note how many seeds are asked for of a run that is known."""
        row = self.run(run)
        assert row is not None
        row |= {"asked": len(run.seeds), "id": run.id}

    def is_whole(self, run: Run, seeds: int | None = None) -> bool:
        """Whether all seeds of a run, or at least so many, are in the tables."""
        row = self.run(run)
        wanted = len(run.seeds) if seeds is None else seeds
        return row is not None and int(row["seeds"]) >= wanted

    def has_choice(self, run: Run) -> bool:
        """Whether a run has nothing to choose any more."""
        return run.choice is None or bool(self._chosen(run))

    def add_choice(self, run: Run, rows: Sequence[Row]) -> None:
        """Note the candidates of a choice, in place of what was noted before."""
        kept = [row for row in self.choices if row["run"] != run.name]
        self.choices = [*kept, *rows]

    def resolved(self, run: Run) -> Run | None:
        """A run with the values that were chosen; None before they are."""
        if run.choice is None:
            return run
        chosen = self._chosen(run)
        if not chosen:
            return None
        by_text = {written(point): point for point in run.choice.grid}
        return run.chosen(by_text[chosen[0]["values"]])

    def _chosen(self, run: Run) -> list[Row]:
        return [
            row
            for row in self.choices
            if row["run"] == run.name
            and row["id"] == run.choice_id
            and int(row["chosen"])
        ]

    def panel(self, panel: str) -> list[Row]:
        """The rows of a panel's runs."""
        return [row for row in self.runs if row["panel"] == panel]

    def column(self, name: str, column: str) -> np.ndarray:
        """A column of seeds.csv of one run, `[seeds]`; empty cells are NaN."""
        return np.array(
            [_number(row[column]) for row in self.seeds if row["run"] == name]
        )

    def paired(self, one: str, other: str, column: str) -> tuple[Any, Any]:
        """A column of two runs on the seeds that both have."""
        tables = [
            {row["seed"]: row[column] for row in self.seeds if row["run"] == name}
            for name in (one, other)
        ]
        both = [seed for seed in tables[0] if seed in tables[1]]
        return tuple(np.array([_number(own[s]) for s in both]) for own in tables)

    def curve(self, name: str, axis: str) -> dict[str, np.ndarray]:
        """A curve's columns: x, mean, low, high, first."""
        panel = name.partition("/")[0]
        rows = [
            row
            for row in self.curves.get(panel, [])
            if row["run"] == name and row["axis"] == axis
        ]
        columns = ("x", "mean", "low", "high", "first")
        return {c: np.array([_number(row[c]) for row in rows]) for c in columns}

    def interval(self, name: str, column: str) -> Interval:
        """The interquartile mean of a column over the seeds, with its interval."""
        return stratified_bootstrap(self.column(name, column))


def _same(row: Row, run: Run) -> bool:
    """Whether a row is of that run, perhaps with fewer seeds or more of them."""
    first = int(row["first_seed"])
    asked = run.on(range(first, first + int(row["asked"])))
    return first == run.seeds.start and asked.id == row["id"]


def _read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _cell(value: Any) -> Any:
    """Six digits, and counts whole."""
    if not isinstance(value, float | np.floating):
        return value
    if np.isnan(value):
        return ""
    whole = np.isfinite(value) and value == int(value)
    return str(int(value)) if whole else f"{value:.6g}"


def _number(cell: Any) -> float:
    return float(cell) if cell != "" else float("nan")
