"""What a whole life in a task earns, exploration included, beside the optimum."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.engine.declared import Block, Study
from experiments.engine.drawing import grid, save
from experiments.engine.measured import read_rows, when
from experiments.engine.numbers import NOT_RUN, number, table
from experiments.engine.results import Results
from experiments.lifetimes.cells import CELLS, Cell, is_memory, run_of, seeds_together
from experiments.lifetimes.measuring import (
    MEASURED_ON,
    ORACLES,
    SCALE,
    SIMULATED,
    TABLE,
    measure,
)

Rows = list[dict[str, Any]]
_DEAR = "SNAIL"
_LINES = ((0, (5, 2)), (0, (1, 1)), (0, (3, 1, 1, 1)), "-.")
_DIGITS = 2
_AGENTS = ("greedy", "one choice after uniform pulls", "Bayes optimum")
"""Those that the page may ask for by name."""
_DRAWN = (*_AGENTS, "knows the task", "posterior sampling", f"UCB1, c = {SCALE:g}")
"""Those that have lines, as far as a cell has them."""
PUBLISHED = {"bandit-5-100": "67.1 ± 1.1", "bandit-5-10": "6.5 ± 0.1"}
"""What SNAIL's paper has of MAML, in its Table 3."""


def draw(results: Results, folder: Path) -> None:
    """A panel for each cell: a point for each seed, a line for each other agent."""
    rows = read_rows(results.folder / TABLE)
    agents = read_rows(results.folder / ORACLES)
    figure, panels = grid(2, 3)
    *used, spare = panels.ravel()
    spare.set_axis_off()
    for axes, (name, cell) in zip(used, CELLS.items(), strict=True):
        _draw_cell(axes, _of(rows, cell=name), _of(agents, cell=name))
        axes.set_title(cell.title, fontsize=10)
        axes.set_xlabel("return of a life")
    save(figure, folder / "lifetimes.png")


def _draw_cell(axes: Any, rows: Rows, agents: Rows) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    if not rows:
        axes.text(0.5, 0.5, "not run", ha="center", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return
    names = list(dict.fromkeys(map(_label, rows)))
    for place, name in enumerate(reversed(names)):
        x = [float(row["return"]) for row in rows if _label(row) == name]
        axes.plot(x, [place] * len(x), "o", ms=5, alpha=0.6, color="C0")
    axes.set_yticks(range(len(names)), names[::-1], fontsize=8)
    axes.set_ylim(-0.7, 1.35 * len(names))  # the names of the lines stand above
    shown = [row for row in agents if row["agent"] in _DRAWN]
    for row, dashes in zip(shown, _LINES, strict=False):
        axes.axvline(
            float(row["return"]), color="0.35", lw=1.1, ls=dashes, label=row["agent"]
        )
    axes.legend(loc="upper center", ncols=2, fontsize=7, framealpha=1)
    axes.grid(alpha=0.25)


def _of(rows: Rows, **values: str) -> Rows:
    return [r for r in rows if all(r[name] == v for name, v in values.items())]


def _label(row: dict[str, Any]) -> str:
    """A learner; one that takes gradient steps, with the episodes between two."""
    after = row["steps_after"]
    return f"{row['learner']}, K = {after}" if after else row["learner"]


def texts(results: Results) -> dict[str, str]:
    """Tables and lines of each cell, and returns of each learner in it."""
    rows = read_rows(results.folder / TABLE)
    agents = read_rows(results.folder / ORACLES)
    found = {
        "about": when(rows) if rows else NOT_RUN,
        "measured on": str(MEASURED_ON),
        "simulated": number(SIMULATED),
        "not run": _not_run(rows),
    }
    for name, cell in CELLS.items():
        own, others = _of(rows, cell=name), _of(agents, cell=name)
        found[f"lives {name}"] = _table(results, own, others)
        found[f"agents {name}"] = _agents(others)
        found[f"asked {name}"] = "–" if cell.ask is None else number(cell.ask, _DIGITS)
        found[f"lives of a seed {name}"] = number(cell.lives)
        found[f"published {name}"] = PUBLISHED.get(name, "–")
        for agent in _AGENTS:
            rest = [float(row["return"]) for row in _of(others, agent=agent)]
            told = number(rest[0], _DIGITS) if rest else NOT_RUN
            found[f"agent {name} {agent}"] = told
        for learner in cell.runs:
            found[f"return {name} {learner}"] = _best(_of(own, learner=learner))
    return found


def _not_run(rows: Rows) -> str:
    """How many of the pairs of a cell and a learner the table lacks, in words."""
    pairs = [(name, own) for name, cell in CELLS.items() for own in cell.runs]
    missing = [
        (c, learner) for c, learner in pairs if not _of(rows, cell=c, learner=learner)
    ]
    return f"{len(missing)} of {len(pairs)} pairs have not been run"


def _table(results: Results, rows: Rows, agents: Rows) -> str:
    """Each learner and K: what it cost, and what it earns."""
    if not rows:
        return NOT_RUN
    top = max(float(row["return"]) for row in agents)
    lines = []
    for label in dict.fromkeys(map(_label, rows)):
        own = [row for row in rows if _label(row) == label]
        steps = results.column(f"{own[0]['cell']}/{own[0]['learner']}", "steps")
        thousands = number(steps.mean() / 1000, 0) if len(steps) else "–"
        last = np.mean([float(row["last"]) for row in own])
        share = np.mean([float(row["return"]) for row in own]) / top
        lines.append(
            [
                label, own[0]["alpha"] or "–", thousands, str(len(own)), _earned(own),
                number(float(own[0]["error"]), 3), number(100 * share, 1),
                number(last, 3),
            ]
        )  # fmt: skip
    head = ["", "α", "thousands of steps", "seeds", "return of a life"]
    head += ["standard error of a seed", "% of the greatest below", "last episode"]
    return table(head, lines)


def _earned(rows: Rows) -> str:
    """The mean over the seeds, and the least and the greatest of them."""
    returns = [float(row["return"]) for row in rows]
    mean = number(float(np.mean(returns)), _DIGITS)
    if len(returns) == 1:
        return mean
    least, most = (number(own, _DIGITS) for own in (min(returns), max(returns)))
    return f"{mean} ({least} to {most})"


def _best(rows: Rows) -> str:
    """What a learner earns with the K that is best for it."""
    if not rows:
        return NOT_RUN
    each = [_of(rows, steps_after=k) for k in {row["steps_after"] for row in rows}]
    return _earned(max(each, key=lambda o: np.mean([float(r["return"]) for r in o])))


def _agents(rows: Rows) -> str:
    """What agents that were not trained earn."""
    if not rows:
        return NOT_RUN
    lines = []
    for row in rows:
        error = f" ± {number(float(row['error']), 2)}" if row["error"] else ""
        lines.append([row["agent"], number(float(row["return"]), _DIGITS) + error])
    return table(["", "return of a life"], lines)


def _blocks() -> list[Block]:
    """A block for each cell and kind of learner; SNAIL's come last."""
    kinds = {
        "gradient learners": lambda own: not is_memory(own),
        "RL²": lambda own: own == "RL²",
        _DEAR: lambda own: own == _DEAR,
    }
    return [
        block
        for kind, wanted in kinds.items()
        for name, cell in CELLS.items()
        if (block := _block(name, cell, kind, [o for o in cell.runs if wanted(o)]))
    ]


def _block(name: str, cell: Cell, kind: str, learners: list[str]) -> Block | None:
    if not learners:
        return None
    # In one cell, as the rules of each take long to compile.
    quick = ("RL²", "MAML") if name == "bandit-5-10" else ()
    runs = tuple(run_of(name, learner) for learner in learners)
    return Block(
        f"{cell.title}: {kind}",
        runs,
        chunk=seeds_together(runs[0]),
        quick=tuple(own for own in quick if own in learners),
    )


STUDY = Study(
    name="lifetimes",
    title="what is earned in a whole life, beside what could be?",
    blocks=tuple(_blocks()),
    draw=draw,
    texts=texts,
    measure=measure,
)
