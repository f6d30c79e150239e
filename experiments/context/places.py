"""Where the learners meet: environments with their tasks, and a budget of steps."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Place(NamedTuple):
    """An environment with its tasks, and the steps that every learner may train with.

    Attributes:
        title: what it is called.
        env: the environment's name.
        budget: environment steps of a seed.
        horizon: the most steps of an episode.
        trial: n, the episodes of a trial, and how many a memory is measured after.
        num_tasks: M of the learners that adapt by gradient steps.
        num_trajectories: K of those, from which they take each step.
        num_steps: how many gradient steps are measured.
        fresh: how many tasks all are measured on.
        rates: the α to choose from.
        values: of all runs.
        of: values of single learners.
        without: the learners that have no run here.
        lengths: mean steps of an episode in training, of learners whose episodes end
            early; of the others it is the horizon.
        episode: what an episode is called.
    """

    title: str
    env: str
    budget: int
    horizon: int
    trial: int
    num_tasks: int
    num_trajectories: int
    num_steps: int
    fresh: int
    rates: tuple[float, ...]
    values: Mapping[str, Any] = {}
    of: Mapping[str, Mapping[str, Any]] = {}
    without: tuple[str, ...] = ()
    lengths: Mapping[str, float] = {}
    episode: str = "episode"


# PEARL's preset aims at nearly uniform choices, which is no way to use a belief.
_CHOICES = {"temperature": "fixed", "initial_temperature": 0.03, "gradient_steps": 50}
# The next observation tells of transitions and forces, which rewards do not.
_MOVES = {"next_obs_in_context": True}
# No two of these tasks are alike, so a bank must be large to stand for all of them.
_MANY = {"bank_tasks": 400, "replay_capacity": 2500}
_LONG = {"gae_lambda": 0.95, "num_tasks": 24, "num_trajectories": 2}
_SIGNS = ("force_mag=-20:-2|2:20",)
PLACES = {
    "bandit": Place(
        "bandit of five arms", "bandit", 800_000, 1, 20, 40, 10, 2, 500, (10.0,),
        of={
            "PEARL": {
                **_CHOICES, **_MANY, "num_trajectories": 20, "extra_trajectories": 20
            }
        },
        episode="pull",
    ),
    "gridworld": Place(
        "gridworld, a hidden goal", "gridworld", 1_200_000, 15, 4, 21, 4, 3, 210,
        (0.1, 0.3, 1.0), of={"PEARL": _CHOICES},
    ),
    "mdp": Place(
        "random MDPs", "mdp", 1_600_000, 10, 10, 20, 10, 3, 200, (0.1, 0.3, 1.0),
        of={
            "RL²": {"num_tasks": 48}, "SNAIL": {"num_tasks": 48},
            "PEARL": {**_CHOICES, **_MANY, **_MOVES},
        },
    ),
    "cartpole": Place(
        "CartPole, a force of either sign", "cartpole", 2_400_000, 200, 3, 5, 10, 3, 40,
        (0.3,), values={"vary": _SIGNS},
        of={
            "RL²": _LONG, "SNAIL": _LONG,
            "PEARL": {**_CHOICES, **_MOVES, "gradient_steps": 200},
        },
        lengths={
            "RL²": 100, "SNAIL": 100, "PEARL": 100, "MAML": 107, "Directed-MAML": 107,
            "joint": 50,
        },
    ),
    "point": Place(
        "point navigation", "point", 4_800_000, 100, 3, 20, 20, 3, 40, (0.1,),
        of={"RL²": _LONG, "SNAIL": _LONG, "PEARL": {"gradient_steps": 100}},
    ),
}  # fmt: skip
"""The smallest first, as they are trained in this order."""
