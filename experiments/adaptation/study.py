"""Does adaptation matter? Returns before and after inner steps, from three starts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dmaml_jax.statistics import Interval
from experiments.adaptation.measuring import (
    EPISODES,
    PLACES,
    SEEDS,
    STARTS,
    STEPS,
    STEPS_TABLE,
    TASKS,
    joint,
    maml,
    measure,
)
from experiments.engine.declared import Block, Study
from experiments.engine.drawing import costs_on_a_log_scale, grid, legend, save
from experiments.engine.measured import read_rows, when
from experiments.engine.numbers import NOT_RUN, interval, number, table
from experiments.engine.results import Results

_STYLES = dict(zip(STARTS, ("C0", "C1", "C2"), strict=True))
Rows = list[dict[str, Any]]


def found(rows: Rows, place: str, alpha: str, start: str) -> Rows:
    """The rows of a curve, by the number of steps."""
    wanted = (place, alpha, start)
    return [row for row in rows if (row["place"], row["alpha"], row["start"]) == wanted]


def value(row: dict[str, Any], what: str) -> Interval:
    """A return or a gain with its interval; NaN where it is not finite."""
    ends = (row[what], row[f"{what}_low"], row[f"{what}_high"])
    return Interval(*(float(end) if end != "" else float("nan") for end in ends))


def draw(results: Results, folder: Path) -> None:
    """Return against the number of steps: a row for each place, a column for each α."""
    rows = read_rows(results.folder / STEPS_TABLE)
    figure, panels = grid(len(PLACES), 3)
    for line, (name, place) in zip(panels, PLACES.items(), strict=True):
        for axes, rate in zip(line, place.rates, strict=True):
            _draw(axes, rows, name, f"{rate:g}")
            axes.set_title(f"{place.title}, α = {rate:g}", fontsize=10)
            if place.env == "point":
                costs_on_a_log_scale(axes)
        _alike(line)
        line[0].set_ylabel("return")
    for axes in panels[-1]:
        axes.set_xlabel("inner steps on a fresh task")
    legend(figure, panels.ravel())
    save(figure, folder / "adaptation.png")


def _alike(line: Any) -> None:
    """One range for all panels of a row, so that noise does not look like news."""
    ends = [axes.get_ylim() for axes in line]
    for axes in line:
        axes.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))


def _draw(axes: Any, rows: Rows, place: str, alpha: str) -> None:
    for start, color in _STYLES.items():
        curve = found(rows, place, alpha, start)
        each = [value(row, "return") for row in curve]
        steps = range(len(each))
        if not each:
            continue
        axes.plot(steps, [e.value for e in each], "o-", ms=3, color=color, label=start)
        low, high = [e.low for e in each], [e.high for e in each]
        axes.fill_between(steps, low, high, color=color, alpha=0.15, lw=0)
    if not axes.lines:
        axes.text(0.5, 0.5, "not run", ha="center", transform=axes.transAxes)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _table(rows: Rows, place: str) -> str:
    """Before, after one step and after the best number of steps, by start and α."""
    lines = []
    for rate in PLACES[place].rates:
        for start in STARTS:
            curve = found(rows, place, f"{rate:g}", start)
            if not curve:
                continue
            best = max(curve, key=lambda row: _or_lowest(value(row, "return").value))
            lines.append(
                [
                    f"{rate:g}", start,
                    *(interval(value(curve[step], "return")) for step in (0, 1)),
                    interval(value(curve[1], "gain")),
                    number(100 * float(curve[1]["worse"]), 0),
                    f"{interval(value(best, 'return'))} after {best['steps']}",
                ]
            )  # fmt: skip
    head = ["α", "start", "before", "after a step", "its gain", "% of tasks worse"]
    return table([*head, "best"], lines) if lines else NOT_RUN


def _or_lowest(number: float) -> float:
    return number if number == number else -float("inf")


def texts(results: Results) -> dict[str, str]:
    """Tables, and single values such as `gain point 0.1 MAML`."""
    rows = read_rows(results.folder / STEPS_TABLE)
    missing = {
        f"{what} {name} {rate:g} {start} {step}": NOT_RUN
        for what in ("return", "gain")
        for name, place in PLACES.items()
        for rate in place.rates
        for start in STARTS
        for step in range(STEPS + 1)
    }
    single = {
        f"{what} {row['place']} {row['alpha']} {row['start']} {row['steps']}": interval(
            value(row, what)
        )
        for row in rows
        for what in ("return", "gain")
    }
    return {
        **missing,
        **single,
        **{f"steps {place}": _table(rows, place) for place in PLACES},
        "about": when(rows) if rows else NOT_RUN,
        "seeds": str(len(SEEDS)),
        "tasks": str(TASKS),
        "episodes": str(EPISODES),
    }


def _blocks() -> Sequence[Block]:
    return [
        Block(
            place.title,
            (joint(name), *(maml(name, rate) for rate in place.rates)),
            chunk=len(SEEDS),
            quick=None if name == "point" else (),
        )
        for name, place in PLACES.items()
    ]


STUDY = Study(
    name="adaptation",
    title="does adaptation matter, and on which tasks?",
    blocks=tuple(_blocks()),
    draw=draw,
    texts=texts,
    measure=measure,
)
