"""Which family wins where: return against the episodes lived through in a fresh task.

RL² and SNAIL remember, PEARL believes, MAML, Directed-MAML and a fine-tuned `joint`
take gradient steps. All of them train with the same number of environment steps.
"""

from pathlib import Path
from typing import Any

from experiments.context.learners import (
    LEARNERS,
    SEEDS,
    adapts_by_gradients,
    learners_of,
    run_of,
)
from experiments.context.measuring import EPISODES, FINE_TUNING, ORACLES, TABLE, measure
from experiments.context.places import PLACES, Place
from experiments.context.tables import (
    lived,
    oracle_curves,
    rows_of,
    texts_of,
)
from experiments.engine.declared import Block, Study
from experiments.engine.drawing import grid, legend, save
from experiments.engine.measured import read_rows, when
from experiments.engine.numbers import NOT_RUN
from experiments.engine.results import Results

_COLORS = {name: f"C{index}" for index, name in enumerate(LEARNERS)}
_DASHES = ("--", ":")
DEAR = "SNAIL"
QUICK_PLACE, QUICK = "bandit", ("RL²", "MAML", "joint")


def draw(results: Results, folder: Path) -> None:
    """A panel for each place."""
    rows = read_rows(results.folder / TABLE)
    oracles = read_rows(results.folder / ORACLES)
    figure, panels = grid(2, 3)
    *used, spare = panels.ravel()
    spare.set_axis_off()
    for axes, (name, place) in zip(used, PLACES.items(), strict=True):
        for learner in learners_of(name):
            _draw_learner(axes, learner, rows_of(rows, name, learner))
        if axes.lines:
            _draw_oracles(axes, oracle_curves(oracles, name))
        else:
            axes.text(0.5, 0.5, "not run", ha="center", transform=axes.transAxes)
        _dress(axes, place)
    legend(figure, used)
    save(figure, folder / "context.png")


def _draw_learner(axes: Any, learner: str, rows: list[dict[str, Any]]) -> None:
    """A curve, in steps where the policy changes with a gradient step alone."""
    if not rows:
        return
    x = [int(row["episodes"]) for row in rows]
    each = [lived(row) for row in rows]
    steps = adapts_by_gradients(learner)
    style = {"color": _COLORS[learner], "drawstyle": "steps-post" if steps else None}
    axes.plot(
        x, [one.value for one in each], marker="s" if steps else "o", ms=4, lw=1.4,
        label=learner, **style,
    )  # fmt: skip
    axes.fill_between(
        x, [one.low for one in each], [one.high for one in each], alpha=0.15, lw=0,
        color=_COLORS[learner], step="post" if steps else None,
    )  # fmt: skip


def _draw_oracles(axes: Any, curves: dict[str, list[tuple[int | None, float]]]) -> None:
    """Grey curves, and lines for what is the same after any number of episodes."""
    lines = []
    for dashes, (oracle, points) in zip(_DASHES, curves.items(), strict=False):
        style = {"color": "0.3", "lw": 1.2, "ls": dashes, "zorder": 1}
        if points[0][0] is None:
            line = axes.axhline(points[0][1], **style)
        else:
            (line,) = axes.plot(*zip(*points, strict=True), **style)
        lines.append((line, oracle))
    # Beside the lines their names would meet each other and the learners' curves.
    axes.legend(*zip(*lines, strict=True), loc="lower right", fontsize=7, frameon=False)


def _dress(axes: Any, place: Place) -> None:
    """Axes on which both a single episode and dozens can be read."""
    axes.set_title(place.title, fontsize=10)
    axes.set_xscale("symlog", linthresh=4, linscale=1.5)
    last = place.num_steps * place.num_trajectories
    ticks = [tick for tick in (0, 1, 2, 3, 4, 6, 10, 20, 40, 60) if tick <= last]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(
        xlabel=f"{place.episode}s lived through in the task",
        ylabel=f"return of the next {place.episode}",
    )
    axes.margins(y=0.08)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def texts(results: Results) -> dict[str, str]:
    """Tables by place, single returns, and what was measured on what."""
    rows = read_rows(results.folder / TABLE)
    oracles = read_rows(results.folder / ORACLES)
    return {
        **texts_of(results, rows, oracles),
        "about": when(rows) if rows else NOT_RUN,
        "seeds": str(len(SEEDS)),
        "not run": _not_run(rows),
        "episodes": str(EPISODES),
        "fine-tuning": ", ".join(f"{rate:g}" for rate in FINE_TUNING),
    }


def _not_run(rows: list[dict[str, Any]]) -> str:
    """How many of the pairs of a place and a learner the table lacks, in words."""
    pairs = [(name, learner) for name in PLACES for learner in learners_of(name)]
    missing = [pair for pair in pairs if not rows_of(rows, *pair)]
    return f"{len(missing)} of {len(pairs)} cells have not been measured"


def _blocks() -> list[Block]:
    """A block for each place; SNAIL's come last, as they take longer than the rest."""
    return [_block(name, False) for name in PLACES] + [
        _block(name, True) for name in PLACES if DEAR in learners_of(name)
    ]


def _block(name: str, dear: bool) -> Block:
    """The learners of a place, without the dear one or that one alone."""
    title = PLACES[name].title
    learners = [own for own in learners_of(name) if (own == DEAR) == dear]
    return Block(
        f"{DEAR}: {title}" if dear else title,
        tuple(run_of(name, learner) for learner in learners),
        chunk=len(SEEDS),
        quick=QUICK if name == QUICK_PLACE and not dear else (),
    )


STUDY = Study(
    name="context",
    title="which family of meta-learners wins where, at equal environment steps?",
    blocks=tuple(_blocks()),
    draw=draw,
    texts=texts,
    measure=measure,
)
