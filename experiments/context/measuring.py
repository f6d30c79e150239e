"""Returns on fresh tasks by the episodes that were lived through in them.

A memory is measured after every episode. A learner that adapts by gradient steps has
the same policy until it has K episodes to learn from, so it is measured after 0, K,
2 K, ... of them. All learners of a place are measured on the same tasks.
"""

from pathlib import Path
from typing import Any, NamedTuple

from experiments.context import oracles
from experiments.context.learners import adapts_by_gradients, learners_of, run_of
from experiments.context.places import PLACES
from experiments.engine.declared import Run
from experiments.engine.measured import RunTable, read_rows, write_rows
from experiments.engine.work import Part

TABLE, ORACLES = "episodes.csv", "oracles.csv"
EPISODES = 20
"""Lives of a memory in each task, and episodes that measure each policy."""
Rows = list[dict[str, Any]]


class Sizes(NamedTuple):
    """How much is measured.

    Attributes:
        steps: of adaptation, for a memory and for gradient learners episodes or steps.
        tasks: fresh ones.
        episodes: that measure each policy.
    """

    steps: int
    tasks: int
    episodes: int


def measure(folder: Path, quick: bool, raw: Path) -> None:
    """Measure what the tables lack, of runs that have ended.

    Args:
        folder: of the study's tables.
        quick: whether the runs are toys, of which few tasks are measured.
        raw: the folder of raw runs.
    """
    table = RunTable(folder / TABLE, "place", "learner")
    declared = [run_of(name, own) for name in PLACES for own in learners_of(name)]
    for run, part in table.lacking(declared, quick, raw):
        sizes = _sizes(run.panel, run.label, quick)
        table.put(run, _measured(run, part, sizes))
        _add_oracles(folder, run.panel, part, sizes)


def _sizes(name: str, learner: str, quick: bool) -> Sizes:
    place = PLACES[name]
    if quick:
        return Sizes(2, 3, 3)
    steps = place.num_steps if adapts_by_gradients(learner) else place.trial
    return Sizes(steps, place.fresh, EPISODES)


def _measured(run: Run, part: Part, sizes: Sizes) -> Rows:
    """The rows of a run: a curve over the episodes lived through."""
    from dmaml_jax.results import evaluation
    from dmaml_jax.runs.loading import load

    loaded = load(part.folder)
    by_gradients = adapts_by_gradients(run.label)
    lives = loaded.config.sampling.num_trajectories if by_gradients else sizes.episodes
    rate = ""
    if by_gradients:
        rate = _rate(run, loaded, sizes)
        loaded = loaded._replace(config=loaded.config.replace(inner_lr=rate))
    returns = _returns(loaded, sizes, lives)
    loaded, returns = evaluation.without_frozen(loaded, returns)
    (row,) = evaluation.summarise(returns)
    told = {"alpha": rate, "seeds": row["num_seeds"], "tasks": row["num_tasks"]}
    return [
        {
            **told,
            "episodes": step * (lives if by_gradients else 1),
            "return": own["mean"],
            "low": own["low"],
            "high": own["high"],
        }
        for step, own in enumerate(row["returns"])
    ]


def _rate(run: Run, loaded: Any, sizes: Sizes) -> float:
    """The α to adapt with: training's own, or for `joint` the best on other tasks.

    `joint` trains without inner steps, so that no α is its own. It gets the one after
    which the mean return over all numbers of steps is greatest.
    """
    import numpy as np

    if run.algo != "joint":
        return loaded.config.learner.inner_lr
    scores = {}
    for rate in FINE_TUNING:
        tried = loaded._replace(config=loaded.config.replace(inner_lr=rate))
        lives = loaded.config.sampling.num_trajectories
        returns = _returns(tried, sizes, lives, draw=1)
        (table,) = returns.values()
        scores[rate] = np.nan_to_num(table, nan=-np.inf)[:, :, 1:].mean()
    return max(scores, key=lambda rate: scores[rate])


FINE_TUNING = (0.01, 0.1, 1.0, 10.0)
"""The α that `joint` is fine-tuned with, of which the best one is shown."""


def _returns(loaded: Any, sizes: Sizes, lives: int, draw: int = 0) -> Any:
    """Returns by seed, task and step, on tasks that training has not drawn."""
    from dmaml_jax.results import evaluation

    sets = evaluation.task_sets(
        loaded, num_tasks=sizes.tasks, draw=draw, out_of_range=("none",)
    )
    return evaluation.measure(
        loaded, {"": loaded.states}, sets, num_steps=sizes.steps,
        num_trajectories=lives, num_episodes=sizes.episodes,
    )  # fmt: skip


def _add_oracles(folder: Path, name: str, part: Part, sizes: Sizes) -> None:
    """The rows of a place's oracles, where there are none yet."""
    rows = read_rows(folder / ORACLES)
    if any(row["place"] == name for row in rows):
        return
    from dmaml_jax.results import evaluation
    from dmaml_jax.runs.loading import load

    sets = evaluation.task_sets(
        load(part.folder), num_tasks=sizes.tasks, out_of_range=("none",)
    )
    (tasks,) = sets.values()
    for oracle, curve in oracles.curves_of(name, tasks).items():
        rows += [
            {"place": name, "oracle": oracle, "episodes": episodes, "return": value}
            for episodes, value in curve.items()
        ]
    write_rows(folder / ORACLES, rows)
