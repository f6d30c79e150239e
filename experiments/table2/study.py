"""Table II of Directed-MAML: LunarLander, seconds per epoch and hours to convergence.

The learning curves are Figure 2's, and are read from its tables. Seconds are measured
by themselves, all learners in turn, on a machine that does nothing else.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dmaml_jax.statistics import stratified_bootstrap
from experiments.engine.declared import Study
from experiments.engine.drawing import grid, save
from experiments.engine.numbers import NOT_RUN, interval, number, said, table
from experiments.engine.results import Results
from experiments.table2.measuring import SECONDS, measure

EPOCHS, PANEL = 1000, "lunarlander-pg"
PAPER = {
    "MAML": (2.34, 600),
    "FOMAML": (1.56, 992),
    "Meta-SGD": (1.41, 970),
    "Directed-MAML": (2.52, 314),
}
"""Seconds per epoch as printed there, and the epochs that its hours imply."""
PYTORCH = "PyTorch, Directed-MAML"


def samples(results: Results) -> dict[str, dict[str, np.ndarray]]:
    """The measured columns by learner, `[seeds]`; empty before they are measured."""
    path = results.folder / SECONDS
    if not path.exists():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, dict[str, np.ndarray]] = {}
    for learner in dict.fromkeys(row["learner"] for row in rows):
        own = [row for row in rows if row["learner"] == learner]
        found[learner] = {
            name: np.array([float(row[name] or "nan") for row in own])
            for name in ("seconds", "memory_mib", "gflop", "environment_share")
        }
    return found


def texts(results: Results) -> Mapping[str, str]:
    """The table of seconds, the paper's beside it, and the load while measuring."""
    measured, curves = samples(results), _curves(results)
    lines = []
    for label in (*PAPER, PYTORCH):
        own = measured.get(label)
        paper = PAPER.get(label)
        theirs = [f"{paper[0]:.2f}", str(paper[1])] if paper else ["–"] * 2
        lines.append([label, *_ours(curves, label, own), *theirs])
    head = ["", "s per epoch", "interquartile mean", "h for 1000 epochs"]
    head += ["epochs to convergence", "h till then", "memory, MiB", "GFLOP"]
    head += ["environment", "paper: s per epoch", "epochs to convergence"]
    about = NOT_RUN
    if measured:
        with open(results.folder / SECONDS, newline="", encoding="utf-8") as file:
            row = next(csv.DictReader(file))
        about = (
            f"{row['date']}, {row['device']}, jax {row['jax']}, commit "
            f"{row['commit'][:7]}; other work kept {number(float(row['others']), 2)} "
            "cores busy"
        )
    return {
        "seconds": table(head, lines),
        "about": about,
        "ends": _ends(curves),
        "against MAML": _against_maml(measured, curves),
        **_ratio_texts(measured, curves),
    }


def _curves(results: Results) -> Results:
    """Figure 2's tables, in the folder beside this study's."""
    return Results(results.folder.parents[1] / "figure2" / results.folder.name)


def _ends(curves: Results) -> str:
    """Where the learners end, and what they were on the way."""
    asks = ("seeds", "final", "best", "average")
    known = [row["run"] for row in curves.panel(PANEL) if row["label"] in PAPER]
    lines = [
        [run.partition("/")[2], *(said(curves, f"{run}|{ask}") for ask in asks)]
        for run in known
    ]
    head = ["", "seeds", "return at the end", "greatest", "mean over the epochs"]
    return table(head, lines) if lines else NOT_RUN


Measured = Mapping[str, Mapping[str, np.ndarray]]
_RATIOS = ("seconds per epoch", "epochs to convergence", "time to convergence")


def _against_maml(measured: Measured, curves: Results) -> str:
    """Seconds, epochs and their product as ratios, the paper's in brackets."""
    lines = []
    for label, ours in _ratios(measured, curves).items():
        seconds, epochs = np.divide(PAPER[label], PAPER["MAML"])
        theirs = (seconds, epochs, seconds * epochs)
        cells = [f"{x} ({y:.2f})" for x, y in zip(ours, theirs, strict=True)]
        lines.append([label, *cells])
    return table(["", *_RATIOS], lines) if lines else NOT_RUN


def _ratios(measured: Measured, curves: Results) -> dict[str, tuple[str, str, str]]:
    """Ratios to MAML by learner, of what was measured and trained."""
    found = {}
    for label in PAPER:
        runs = (f"{PANEL}/{own}" for own in (label, "MAML"))
        epochs, mamls = curves.paired(*runs, "converged")
        if label == "MAML" or not len(epochs) or "MAML" not in measured:
            continue
        own = measured[label]["seconds"].mean() / measured["MAML"]["seconds"].mean()
        ratios = np.sort(epochs / mamls)
        middle = np.median(ratios)
        spread = f"{middle:.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f}"
        found[label] = (f"{own:.2f}", spread, f"{own * middle:.2f}")
    return found


def _ratio_texts(measured: Measured, curves: Results) -> dict[str, str]:
    """Each of the ratios by `WHAT LEARNER`."""
    known = _ratios(measured, curves)
    return {
        f"{what} {label}": known[label][index] if label in known else NOT_RUN
        for label in PAPER
        for index, what in enumerate(_RATIOS)
    }


def _ours(
    curves: Results, label: str, own: Mapping[str, np.ndarray] | None
) -> list[str]:
    epochs = curves.column(f"{PANEL}/{label}", "converged")
    known = len(epochs) > 0
    missing = NOT_RUN if label in PAPER else "–"  # only its seconds are measured
    until = number(np.median(epochs)) if known else missing
    if own is None:
        return [NOT_RUN] * 3 + [until] + [NOT_RUN] * 4
    seconds = own["seconds"]
    mean, deviation = seconds.mean(), seconds.std(ddof=1) if len(seconds) > 1 else 0.0
    hours = number(mean * np.median(epochs) / 3600, 4) if known else missing
    share = own["environment_share"].mean()
    return [
        f"{mean:.4f} ± {deviation:.4f}",
        interval(stratified_bootstrap(seconds), 4),
        number(mean * EPOCHS / 3600, 3),
        until,
        hours,
        number(own["memory_mib"][0], 0),
        number(own["gflop"][0], 2),
        "–" if np.isnan(share) else f"{100 * share:.0f} %",
    ]


def draw(results: Results, folder: Path) -> None:
    """Seconds per epoch of each seed, ours and PyTorch's."""
    measured = samples(results)
    figure, panels = grid(1, 1)
    axes = panels[0][0]
    for index, own in enumerate(measured.values()):
        axes.scatter(own["seconds"], np.full(len(own["seconds"]), index), s=18)
    if measured:
        axes.set_yticks(range(len(measured)), list(measured))
        axes.set_xlim(left=0)
    else:
        axes.text(0.5, 0.5, "not run", ha="center", transform=axes.transAxes)
    axes.set(xlabel="seconds per epoch of one seed", title="LunarLander, Table I")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, folder / "table2.png")


STUDY = Study(
    name="table2",
    title="seconds per epoch and hours to convergence on LunarLander",
    blocks=(),
    draw=draw,
    texts=texts,
    measure=measure,
)
