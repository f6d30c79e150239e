"""What is shown of the distances between optima: a table and a picture."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dmaml_jax.statistics import Interval, stratified_bootstrap
from experiments.engine.drawing import grid, legend, save
from experiments.engine.measured import read_rows, when
from experiments.engine.numbers import NOT_RUN, interval, number, table
from experiments.engine.results import Results
from experiments.mechanism.distances import (
    AGAIN,
    DISTANCES,
    MEDIUM,
    PLACES,
    SEEDS,
    START,
    TASKS,
)

WHAT = {"parameters": "distance in θ over that from the first θ", "kl": "KL"}
SINGLE = (START, AGAIN, MEDIUM)
_DIGITS = {"parameters": 2, "kl": 3}


def distances(results: Results, place: str, what: str) -> dict[str, np.ndarray]:
    """Distances of every seed by where they go to.

    Args:
        results: the study's tables.
        place: where.
        what: "parameters", as shares of the distance from the first θ, or "kl".
    """
    found: dict[str, dict[int, float]] = {}
    for row in read_rows(results.folder / DISTANCES):
        if row["place"] == place:
            found.setdefault(row["to"], {})[int(row["seed"])] = float(row[what])
    columns = {
        name: np.array([own[s] for s in sorted(own)]) for name, own in found.items()
    }
    if what == "parameters" and columns:
        start = columns[START]
        columns = {name: column / start for name, column in columns.items()}
    return columns


def _tasks(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Those to the tasks' optima, `[tasks, seeds]`."""
    return np.array([own for name, own in columns.items() if name not in SINGLE])


def _spread(values: np.ndarray) -> Interval:
    return stratified_bootstrap(values)


def _table(results: Results, what: str) -> str:
    """A line for each place: to the first θ, to another MAML, to the optima."""
    lines, digits = [], _DIGITS[what]
    for place in PLACES:
        columns = distances(results, place, what)
        if not columns:
            continue
        tasks = _tasks(columns)
        nearer = (tasks < columns[MEDIUM]).mean(axis=0)
        middle = tasks.mean(axis=1)
        lines.append(
            [
                place,
                *(interval(_spread(columns[name]), digits) for name in SINGLE),
                f"{number(middle.mean(), digits)} ({number(middle.min(), digits)} to "
                f"{number(middle.max(), digits)})",
                interval(_spread(100 * nearer), 0),
            ]
        )
    head = ["", START, AGAIN, MEDIUM, "tasks: mean (nearest to farthest)"]
    return table([*head, "% of tasks nearer than it"], lines) if lines else NOT_RUN


def texts(results: Results) -> dict[str, str]:
    """Both tables, and single values such as `far parameters point navigation task`."""
    single = {}
    for place in PLACES:
        for what in WHAT:
            columns = distances(results, place, what)
            if columns:
                columns["tasks"] = _tasks(columns).mean(axis=0)
            for name in (*SINGLE, "tasks"):
                found = columns.get(name)
                text = NOT_RUN
                if found is not None:
                    text = interval(_spread(found), _DIGITS[what])
                single[f"far {what} {place}: {name}"] = text
    rows = read_rows(results.folder / DISTANCES)
    return {
        **single,
        **{f"distances {what}": _table(results, what) for what in WHAT},
        "about distances": when(rows) if rows else NOT_RUN,
        "tasks alone": str(TASKS),
        "seeds of distances": str(len(SEEDS)),
    }


def draw(results: Results, folder: Path) -> None:
    """A row for each place, a column for each of the two distances."""
    figure, panels = grid(1, len(WHAT))
    for axes, (what, label) in zip(panels[0], WHAT.items(), strict=True):
        for line, place in enumerate(reversed(PLACES)):
            columns = distances(results, place, what)
            if not columns:
                continue
            tasks = _tasks(columns).mean(axis=1)
            axes.plot(
                tasks, np.full(len(tasks), line), "o", color="0.6", ms=6, alpha=0.8,
                label="optimum of a task of ρ",
            )  # fmt: skip
            for name, style in (
                (MEDIUM, {"marker": "*", "color": "C3", "ms": 13}),
                (AGAIN, {"marker": "|", "color": "C0", "ms": 18, "mew": 2.5}),
                (START, {"marker": "x", "color": "k", "ms": 8}),
            ):
                text = f"optimum of the {name}" if name == MEDIUM else name
                axes.plot(columns[name].mean(), line, ls="", label=text, **style)
        if not axes.lines:
            axes.text(0.5, 0.5, "not run", ha="center", transform=axes.transAxes)
        elif what == "kl":
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")  # mathematics is not drawn
            axes.xaxis.set_minor_formatter("")
        axes.set_yticks(range(len(PLACES)), list(reversed(PLACES)))
        axes.set(
            ylim=(-0.6, len(PLACES) - 0.4), xlabel=f"{label}, from where MAML ends"
        )
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    legend(figure, panels.ravel())
    save(figure, folder / "distances.png")
