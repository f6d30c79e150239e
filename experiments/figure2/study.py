"""Figure 2 of Directed-MAML with seeds: three environments, two methods, nine learners.

All learners of a seed begin at the same θ and meet the same tasks. Table I's values are
those of every run but the ones named "preset", which have the environment's own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.engine.declared import Block, Run, Study
from experiments.engine.drawing import draw_panel, grid, legend, save
from experiments.engine.paper import DIRECTED, LEARNERS, table_i
from experiments.engine.results import Results

TITLES = {
    "cartpole": "CartPole",
    "intersection": "intersection",
    "lunarlander": "LunarLander",
}
METHODS = {"pg": "policy gradient", "ac": "actor-critic"}
SEEDS = {
    "cartpole": range(1, 31),
    "intersection": range(1, 31),
    "lunarlander": range(1, 11),
}
EPOCHS = {"cartpole": 300, "intersection": 500, "lunarlander": 1000}
FEWER_SEEDS, FEWER_EPOCHS = range(1, 6), 300


def runs(env: str, method: str, learners: Mapping[str, str]) -> tuple[Run, ...]:
    """Learners on an environment with Table I's values."""
    seeds, epochs = SEEDS[env], EPOCHS[env]
    if env == "lunarlander" and (method == "ac" or learners is DIRECTED):
        seeds, epochs = FEWER_SEEDS, FEWER_EPOCHS
    return tuple(
        Run(f"{env}-{method}", label, env, algo, epochs, seeds, table_i(algo, method))
        for label, algo in learners.items()
    )


def presets(env: str, epochs: int) -> tuple[Run, ...]:
    """The paper's five learners with what the environment's preset says."""
    return tuple(
        Run(f"{env}-preset", label, env, algo, epochs, SEEDS[env])
        for label, algo in LEARNERS.items()
    )


def block(
    env: str, method: str, learners: Mapping[str, str], quick: Sequence[str]
) -> Block:
    """Learners on an environment, as a block of runs."""
    which = "the paper's learners" if learners is LEARNERS else "directed variants"
    return Block(
        f"{TITLES[env]}, {METHODS[method]}: {which}",
        runs(env, method, learners),
        chunk=5 if env == "lunarlander" else 10,
        quick=tuple(quick),
    )


def draw(results: Results, folder: Path) -> None:
    """A picture for each environment: a row for each method, and one of the preset.

    Rows of which nothing has been run are left out.
    """
    for env, title in TITLES.items():
        rows = [f"{env}-{method}" for method in METHODS]
        names = [f"{title}, {words}" for words in METHODS.values()]
        if env != "cartpole":
            rows.append(f"{env}-preset")
            names.append(f"{title}, preset")
        run = [index for index, panel in enumerate(rows) if results.panel(panel)] or [0]
        figure, panels = grid(len(run), 3)
        for row, index in zip(panels, run, strict=True):
            panel, name = rows[index], names[index]
            for axes, axis in zip(row, ("epochs", "steps", "first"), strict=True):
                draw_panel(axes, results, panel, axis)
            row[0].set_ylabel("return after adaptation (EMA 0.9)\ninterquartile mean")
            row[0].set_title(f"{name}, {_seeds(results, panel)}", fontsize=10)
            row[1].set_title("the same by environment steps", fontsize=10)
            row[2].set_title("seed 1 alone, as the paper shows it", fontsize=10)
        legend(figure, panels.ravel())
        save(figure, folder / f"figure2-{env}.png")


def _seeds(results: Results, panel: str) -> str:
    counts = [int(row["seeds"]) for row in results.panel(panel)]
    return f"{max(counts, default=0)} seeds"


STUDY = Study(
    name="figure2",
    title="CartPole, LunarLander, intersection x policy gradient, actor-critic",
    blocks=(
        block("cartpole", "pg", LEARNERS, ("MAML", "Directed-MAML")),
        block("cartpole", "pg", DIRECTED, ()),
        block("cartpole", "ac", LEARNERS, ("Directed-MAML",)),
        block("cartpole", "ac", DIRECTED, ()),
        block("intersection", "pg", LEARNERS, ("Directed-MAML",)),
        Block(
            "intersection, policy gradient: the preset",
            presets("intersection", 500),
            quick=("MAML",),
        ),
        block("intersection", "pg", DIRECTED, ()),
        block("intersection", "ac", LEARNERS, ()),
        block("intersection", "ac", DIRECTED, ()),
        block("lunarlander", "pg", LEARNERS, ("FOMAML",)),
        Block(
            "LunarLander, policy gradient: the preset",
            presets("lunarlander", 300),
            chunk=5,
            quick=(),
        ),
        block("lunarlander", "pg", DIRECTED, ()),
        block("lunarlander", "ac", LEARNERS, ()),
        block("lunarlander", "ac", DIRECTED, ()),
    ),
    draw=draw,
    thresholds={"cartpole-pg": 190.0, "cartpole-ac": 190.0},
)
