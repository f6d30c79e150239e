"""The cells: tasks with a length of life, and the learners that are put into them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from dmaml_jax.learners import registry
from experiments.engine.declared import Choice, Run


class Cell(NamedTuple):
    """Tasks, and how many episodes of one are lived through.

    Attributes:
        title: what it is called.
        env: the environment's name.
        episodes: the length of a life; of a bandit an episode is a pull.
        horizon: the most steps of an episode.
        lives: how many lives of each seed are measured.
        runs: epochs and number of seeds by learner.
        steps_after: K, the episodes between two gradient steps, each a row of its own.
        rates: the α to choose from; one needs no choice.
        ask: the return of a life that was asked for, and of which learners.
    """

    title: str
    env: str
    episodes: int
    horizon: int
    lives: int
    runs: Mapping[str, tuple[int, int]]
    steps_after: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    ask: float | None = None


class Learner(NamedTuple):
    """A learner by its name in the package, and its values."""

    algo: str
    values: Mapping[str, Any] = {}


LEARNERS = {
    "RL²": Learner("rl2"),
    "SNAIL": Learner("snail"),
    "MAML": Learner("maml"),
    "MAML, 3 steps": Learner("maml", {"num_inner_steps": 3}),
    "Meta-SGD": Learner("meta-sgd"),
    "SG-MRL": Learner("sg-mrl"),
    "E-MAML": Learner("e-maml"),
    "Directed-MAML": Learner("directed-maml"),
}
_GRADIENTS = [name for name in LEARNERS if name not in ("RL²", "SNAIL")]
_CHOICE_SEEDS = range(91, 93)


def _all(epochs: int, seeds: int = 5) -> dict[str, tuple[int, int]]:
    return dict.fromkeys(_GRADIENTS, (epochs, seeds))


CELLS = {
    "bandit-5-20": Cell(
        "five arms, 20 pulls", "bandit", 20, 1, 200_000,
        {"RL²": (1200, 5), "SNAIL": (400, 5)}, ask=14.20,
    ),
    "bandit-5-100": Cell(
        "five arms, 100 pulls", "bandit", 100, 1, 40_000,
        {"RL²": (400, 3), "SNAIL": (200, 1), **_all(1000)}, (10, 20), (10.0,), ask=77,
    ),
    "bandit-5-10": Cell(
        "five arms, 10 pulls", "bandit", 10, 1, 40_000,
        {"RL²": (400, 5), **_all(1000)}, (5,), (10.0,),
    ),
    "bandit-2-10": Cell(
        "two arms, 10 pulls", "bandit:2", 10, 1, 40_000, {"RL²": (400, 5)},
    ),
    "mdp-10": Cell(
        "random MDPs, 10 episodes", "mdp", 10, 10, 40_000,
        {"RL²": (400, 5), "SNAIL": (200, 5), **_all(2000)}, (2, 5), (0.1, 0.3, 1.0),
        ask=150,
    ),
}  # fmt: skip
"""In the order in which they are trained."""

# As in docs/memory.md: 384 trials an epoch, with a falling step size.
_TRIALS = {
    "num_tasks": 96,
    "num_trajectories": 4,
    "num_minibatches": 6,
    "outer_schedule": "cosine",
}


def is_memory(learner: str) -> bool:
    """Whether a learner adapts by a memory, and not by gradient steps."""
    return not registry.takes_gradients(LEARNERS[learner].algo)


def seeds_together(run: Run) -> int:
    """How many seeds of a run are trained side by side.

    A memory's take a core each, and long: few at a time, so that they are kept as they
    end.
    """
    return 2 if is_memory(run.label) else 5


def run_of(name: str, learner: str) -> Run:
    """The run of a learner in a cell."""
    cell, own = CELLS[name], LEARNERS[learner]
    epochs, seeds = cell.runs[learner]
    choice = None
    if is_memory(learner):
        values = {**_TRIALS, "episodes_per_trial": cell.episodes}
    else:
        # As many episodes before each step as in the longest part of a life.
        values = {"num_tasks": 40, "num_trajectories": max(cell.steps_after)}
        values["inner_lr"] = cell.rates[0]
        if len(cell.rates) > 1:
            choice = Choice(tuple({"inner_lr": r} for r in cell.rates), _CHOICE_SEEDS)
    values = {**values, **own.values}
    shown = range(1, 1 + seeds)
    return Run(name, learner, cell.env, own.algo, epochs, shown, values, choice)
