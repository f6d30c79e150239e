"""What the pre-step is worth as a direction: angles between gradients at the same θ.

The abstract of Directed-MAML says that the step on the medium task "estimates the
effect of second-order gradients". Then its gradient should point where the second-order
part of the meta-gradient does, and further there than any other task's.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dmaml_jax.statistics import Interval, stratified_bootstrap
from experiments.engine.declared import Study
from experiments.engine.drawing import grid, legend, save
from experiments.engine.measured import read_rows, when
from experiments.engine.numbers import NOT_RUN, interval, number, table
from experiments.engine.results import Results
from experiments.mechanism import distances, figure1, measuring
from experiments.mechanism.measuring import ANGLES, KINDS, PLACES, SEEDS

_SHOWN = {
    "medium": "medium task",
    "random": "a random task",
    "mixture": "mixture of tasks",
    "second order": "second-order part",
}
_COLUMNS = {"cos_meta": "meta-gradient", "cos_second_order": "second-order part"}
Rows = list[dict[str, str]]


def column(rows: Rows, place: str, kind: str, epoch: str, name: str) -> np.ndarray:
    """A column over the seeds; what noise has hidden is left out."""
    found = [
        float(row[name])
        for row in rows
        if (row["place"], row["kind"], row["epoch"]) == (place, kind, epoch)
    ]
    values = np.array(found)
    return values[np.isfinite(values)]


def _epochs(rows: Rows, place: str) -> list[str]:
    return list(dict.fromkeys(row["epoch"] for row in rows if row["place"] == place))


def _spread(values: np.ndarray) -> Interval:
    if not len(values):
        return Interval(np.nan, np.nan, np.nan)
    return stratified_bootstrap(values)


def texts(results: Results) -> Mapping[str, str]:
    """Tables and single values such as `cos_meta CartPole 0 medium`, and where from."""
    rows = read_rows(results.folder / ANGLES)
    single = {
        f"{name} {place} {epoch} {kind}": interval(
            _spread(column(rows, place, kind, str(epoch), name)), 2
        )
        for name in ("length", "cos_meta", "cos_second_order")
        for place, own in PLACES.items()
        for epoch in own.epochs
        for kind in KINDS
    }
    found = {f"angles {place}": _table(rows, place) for place in PLACES}
    about = NOT_RUN
    if rows:
        about = when(rows)
    seeds = len({row["seed"] for row in rows})
    batches = " and ".join(
        f"{place.batches} ({name})" for name, place in PLACES.items()
    )
    about_seeds = f"{seeds} of {len(SEEDS)}"
    return {
        **figure1.texts(results),
        **single,
        **found,
        "about": about,
        "seeds": about_seeds,
        "late": "50",
        "batches": batches,
    }


def _table(rows: Rows, place: str) -> str:
    """A line for each epoch and kind: its ceiling, its length and both cosines."""
    lines = []
    for epoch in _epochs(rows, place):
        for kind in KINDS:
            ask = [
                interval(_spread(column(rows, place, kind, epoch, name)), 2)
                for name in ("ceiling", "length", "cos_meta", "cos_second_order")
            ]
            plain = _spread(column(rows, place, kind, epoch, "plain_meta")).value
            lines.append(
                [epoch, _SHOWN.get(kind, "meta-gradient"), *ask, number(plain, 2)]
            )
    head = ["epoch", "gradient", "its own halves", "length over the meta-gradient's"]
    head += ["cosine with the meta-gradient", "with its second-order part"]
    head += ["with the meta-gradient, of the noisy means"]
    return table(head, lines) if lines else NOT_RUN


def draw(results: Results, folder: Path) -> None:
    """Cosines over training: a row for each place, a column for each of the two."""
    rows = read_rows(results.folder / ANGLES)
    figure, panels = grid(len(PLACES), len(_COLUMNS))
    for axes_row, place in zip(panels, PLACES, strict=True):
        epochs = _epochs(rows, place)
        for axes, (name, against) in zip(axes_row, _COLUMNS.items(), strict=True):
            for index, (kind, label) in enumerate(_SHOWN.items()):
                if kind == "second order" and name == "cos_second_order":
                    continue
                spread = [
                    _spread(column(rows, place, kind, epoch, name)) for epoch in epochs
                ]
                if not spread:
                    continue
                x = np.array([int(epoch) for epoch in epochs]) + 0.6 * (index - 1.5)
                middle = np.array([each.value for each in spread])
                low = middle - [each.low for each in spread]
                high = [each.high for each in spread] - middle
                ends = np.maximum(np.nan_to_num([low, high]), 0)
                axes.errorbar(x, middle, ends, fmt="o-", lw=1.2, ms=4, label=label)
            if not rows:
                axes.text(0.5, 0.5, "not run", ha="center", transform=axes.transAxes)
            axes.axhline(0, color="0.5", lw=0.8)
            axes.set(
                ylim=(-1.2, 1.6), xlabel="epoch", title=f"{place}: with the {against}"
            )
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        axes_row[0].set_ylabel("cosine, free of noise")
    legend(figure, [axes for each in panels for axes in each])
    save(figure, folder / "mechanism.png")
    figure1.draw(results, folder)


def measure(folder: Path, quick: bool, raw: Path) -> None:
    """Measure what the tables lack: angles between gradients, distances of optima."""
    measuring.measure(folder, quick, raw)
    distances.measure(folder, quick)


STUDY = Study(
    name="mechanism",
    title="where the medium task's gradient points",
    blocks=(),
    draw=draw,
    texts=texts,
    measure=measure,
)
