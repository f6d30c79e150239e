"""Beyond uniform ρ: Directed-MAML's pre-step where the mean of the tasks is odd.

The paper has uniform distributions of one parameter and leaves others to future work.
Here ρ has two peaks, leans to one side, varies in two parameters at once, or has a mean
that is no task anybody could solve. The pre-step is taken on the mean, on the medoid,
on a corner, and on a fresh task of ρ, beside no pre-step at all.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.engine.declared import Block, Run, Study
from experiments.engine.drawing import (
    costs_on_a_log_scale,
    draw_panel,
    grid,
    legend,
    save,
)
from experiments.engine.paper import table_i
from experiments.engine.results import Results

SEEDS = range(1, 11)
PLAIN = "MAML"
QUICK = (PLAIN, "pre-step on the mean")
EXACT: tuple[str, ...] = ()  # what the package takes: of a mixture a part's own mean


class Distribution(NamedTuple):
    """A distribution of tasks, and the tasks that a pre-step may be taken on.

    Attributes:
        title: what it is, in words.
        env: the environment's name.
        vary: the distribution as `--vary` takes it.
        tasks: the pre-steps' tasks as `--medium-values` takes them, by what they are;
            `EXACT` for `--medium-task exact`.
        epochs: how many there are.
        values: of all runs.
        threshold: the smoothed return that counts as having learned; None for none.
    """

    title: str
    env: str
    vary: tuple[str, ...]
    tasks: Mapping[str, tuple[str, ...]]
    epochs: int
    values: Mapping[str, Any] = {}
    threshold: float | None = None


AS_LONG_AS_ALPHA = {"directed_lr": 0.1}  # as in the controls of point navigation
# Table I's α is too small to tell the sign of a force in one inner step.
SIGN = {"inner_lr": 0.1}
DISTRIBUTIONS = {
    "two-peaks": Distribution(
        "CartPole, gravity with two peaks", "cartpole", ("gravity=5:6|14:15",),
        {"mean": ("gravity=10",), "medoid": EXACT, "corner": ("gravity=15",)},
        300, threshold=190.0,
    ),
    "skewed": Distribution(
        "CartPole, gravity mostly low", "cartpole", ("gravity=0.9*5:6|0.1*14:15",),
        {"mean": ("gravity=6.4",), "medoid": EXACT,
         "corner": ("gravity=15",)},
        300, threshold=190.0,
    ),
    "two-parameters": Distribution(
        "CartPole, gravity and length", "cartpole",
        ("gravity=5:15", "length=0.2:2"),
        {"mean": ("gravity=10", "length=1.1"),
         "corner": ("gravity=15", "length=0.2"),
         "opposite corner": ("gravity=5", "length=2")},
        300, threshold=190.0,
    ),
    "signs": Distribution(
        "CartPole, a force of either sign", "cartpole",
        ("force_mag=-20:-2|2:20",),
        {"mean": ("force_mag=0",), "medoid": EXACT,
         "corner": ("force_mag=20",)},
        300, SIGN,
    ),
    "two-sides": Distribution(
        "point navigation, goals on two sides", "point",
        ("goal_x=-0.5:-0.4|0.4:0.5", "goal_y=-0.5:0.5"),
        {"mean": ("goal_x=0", "goal_y=0"), "medoid": EXACT,
         "corner": ("goal_x=0.5", "goal_y=0.5")},
        120,
    ),
    "circle": Distribution(
        "point navigation, goals on a circle", "point", ("goal_x,goal_y=circle:0.5",),
        {"mean": EXACT, "goal at one side": ("goal_x=0.5", "goal_y=0")},
        120,
    ),
}  # fmt: skip


def runs(name: str) -> tuple[Run, ...]:
    """MAML, and Directed-MAML with each task for its pre-step."""
    own = DISTRIBUTIONS[name]

    def run(label: str, algo: str, **values: Any) -> Run:
        table = table_i(algo) if own.env == "cartpole" else {}
        given = {**table, **own.values, "vary": own.vary, **values}
        return Run(name, label, own.env, algo, own.epochs, SEEDS, given)

    def directed(label: str, **values: Any) -> Run:
        delta = AS_LONG_AS_ALPHA if own.env == "point" else {}
        return run(f"pre-step on {label}", "directed-maml", **delta, **values)

    def on_task(label: str, values: tuple[str, ...]) -> Run:
        if values == EXACT:
            return directed(label)
        return directed(label, medium_task="given", medium_values=values)

    return (
        run(PLAIN, "maml"),
        *(on_task(f"the {task}", values) for task, values in own.tasks.items()),
        directed("a fresh task", medium_task="fresh"),
    )


def draw(results: Results, folder: Path) -> None:
    """A panel of curves for each distribution."""
    figure, panels = grid(2, 3)
    order = list(dict.fromkeys(run.label for run in STUDY.runs))
    for axes, (name, own) in zip(panels.ravel(), DISTRIBUTIONS.items(), strict=True):
        draw_panel(axes, results, name, "epochs", order=order)
        if own.env == "point":
            costs_on_a_log_scale(axes)
        axes.set_title(own.title, fontsize=10)
    for row in panels:
        row[0].set_ylabel("return after adaptation (EMA 0.9)")
    legend(figure, panels.ravel())
    save(figure, folder / "distributions.png")


STUDY = Study(
    name="distributions",
    title="other distributions of tasks: when does the mean mislead?",
    blocks=tuple(
        Block(own.title, runs(name), quick=QUICK if name == "two-sides" else ())
        for name, own in DISTRIBUTIONS.items()
    ),
    draw=draw,
    thresholds={
        name: own.threshold
        for name, own in DISTRIBUTIONS.items()
        if own.threshold is not None
    },
)
