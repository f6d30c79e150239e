"""How the curves of a study look; they come from its tables alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dmaml_jax.pictures.plots import plt
from dmaml_jax.pictures.plots import save as write
from experiments.engine.results import Results, Row

AXES = {
    "epochs": "epoch",
    "steps": "environment steps of a seed",
    "first": "epoch",
}
_BASES = ("MAML", "FOMAML", "Reptile", "Meta-SGD")


def look(label: str, index: int) -> dict[str, Any]:
    """Colour and line of a run: a directed learner is solid, its base is dashed.

    Args:
        label: what the run is called.
        index: its place in the panel, for a colour where the label tells none.
    """
    base = label.removeprefix("Directed-")
    if base not in _BASES:
        return {"color": f"C{index % 10}", "linestyle": "-" if index < 10 else ":"}
    style = "-" if label.startswith("Directed-") else (0, (4, 1.5))
    return {"color": f"C{_BASES.index(base)}", "linestyle": style}


def draw_panel(
    axes: Any,
    results: Results,
    panel: str,
    axis: str,
    *,
    labels: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
    order: Sequence[str] = (),
    threshold: bool = True,
) -> None:
    """The curves of a panel's runs.

    Args:
        axes: the axes of matplotlib to draw on.
        results: the study's tables.
        panel: whose runs.
        axis: "epochs" or "steps", interquartile means with intervals; or "first", the
            curve of the first seed alone against epochs.
        labels: of the runs to draw; None draws all of them.
        names: what the legend calls runs, by their labels, if it is something else.
        order: labels that take the first colours, so that panels of different runs
            have the same colour for the same label.
        threshold: whether the panel's threshold is drawn.
    """
    rows = results.panel(panel)
    for index, row in enumerate(rows):
        if labels is not None and row["label"] not in labels:
            continue
        curve = results.curve(row["run"], "steps" if axis == "steps" else "epochs")
        label = row["label"]
        place = order.index(label) if label in order else index
        style, name = look(label, place), (names or {}).get(label, label)
        if axis == "first":
            axes.plot(curve["x"], curve["first"], lw=1.3, label=name, **style)
            continue
        axes.plot(curve["x"], curve["mean"], lw=1.7, label=name, **style)
        axes.fill_between(
            curve["x"],
            curve["low"],
            curve["high"],
            color=style["color"],
            alpha=0.15,
            lw=0,
        )
    if threshold and rows and rows[0]["threshold"] != "":
        axes.axhline(float(rows[0]["threshold"]), color="0.5", lw=0.8, ls=":")
    if not axes.lines:
        axes.text(0.5, 0.5, "not run", ha="center", transform=axes.transAxes)
    if axis == "steps" and (end := _end_of_learning(results, rows)):
        axes.set_xlim(0, end)
    axes.set(xlabel=AXES[axis])
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _end_of_learning(results: Results, rows: Sequence[Row]) -> float:
    """Twice the slowest seed's steps to the threshold; 0 if one never got there."""
    steps = [results.column(row["run"], "steps_to_threshold") for row in rows]
    slowest = np.max(np.concatenate(steps)) if steps else np.nan
    return 2 * float(slowest) if np.isfinite(slowest) else 0.0


def costs_on_a_log_scale(axes: Any) -> None:
    """Returns below zero without a floor: the farther from zero, the denser."""
    if not axes.lines:  # nothing was run, and there is no range to show
        return
    axes.set_yscale("symlog", linthresh=10)
    axes.yaxis.set_major_formatter("{x:g}")  # mathematics is not drawn
    axes.yaxis.set_minor_formatter("")
    axes.set_ylim(top=0)


def grid(rows: int, columns: int) -> tuple[Any, Any]:
    """A figure with so many panels, and the panels."""
    return plt.subplots(
        rows,
        columns,
        figsize=(5.2 * columns, 3.6 * rows),
        dpi=110,
        layout="constrained",
        squeeze=False,
    )


def legend(figure: Any, panels: Sequence[Any]) -> None:
    """One legend below, of all that any of the panels shows."""
    found: dict[str, Any] = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    if found:
        figure.legend(
            found.values(), found.keys(), loc="outside lower center", ncols=5,
            frameon=False, fontsize="small",
        )  # fmt: skip


def save(figure: Any, path: Path) -> None:
    """Write a picture, and close it; the same tables give the same bytes."""
    write(figure, path)
