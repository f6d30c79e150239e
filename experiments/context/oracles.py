"""What the best agents earn in each place, to stand beside what is learned.

`oracles.csv` has a row for each point of a curve, and one without a number of episodes
for what is the same whatever was lived through.
"""

from typing import Any

import numpy as np

from experiments.context.places import PLACES

Curves = dict[str, dict[int | str, float]]
"""By an oracle's name, the expected return by the episodes before it, or by ""."""


def curves_of(name: str, tasks: Any) -> Curves:
    """The oracles of a place.

    Args:
        name: of the place.
        tasks: those that the learners are measured on, stacked on axis 0; what knows
            its task is measured on the same.
    """
    place = PLACES[name]
    if name == "bandit":
        return _of_bandits(place.trial, place.num_trajectories)
    if name == "mdp":
        return {"knows the task": {"": _of_tables(tasks, place.horizon)}}
    if name == "gridworld":
        return _of_grids(place.trial)
    if name == "point":
        return {"knows the task": {"": _of_goals(tasks, place.horizon)}}
    return {"greatest return": {"": float(place.horizon)}}


def _of_bandits(num_pulls: int, num_uniform: int, num_arms: int = 5) -> Curves:
    """The Bayes optimum by pull, and the best pull after pulls at random."""
    from dmaml_jax.envs.bandit_optimum import bayes_rewards, best_after_uniform

    best = bayes_rewards(num_arms, num_pulls)
    uniform = [best_after_uniform(num_arms, n) for n in range(num_uniform + 1)]
    return {
        "Bayes optimum": dict(enumerate(best)),
        "best after uniform pulls": dict(enumerate(uniform)),
    }


def _of_tables(tasks: Any, horizon: int) -> float:
    """Value iteration in every task, the mean over the tasks."""
    import jax

    from dmaml_jax.envs.tabular_optimum import best_policy

    values = jax.vmap(lambda task: best_policy(task, horizon).start_value)(tasks)
    return float(np.mean(np.asarray(values)))


def _of_grids(num_episodes: int) -> Curves:
    """The best search of a trial, and an agent that sees the goal."""
    from dmaml_jax.envs.gridworld_optimum import best_search

    best = best_search(num_episodes).episodes.tolist()
    return {"best search": dict(enumerate(best)), "knows the task": {"": best[-1]}}


def _of_goals(tasks: Any, horizon: int) -> float:
    """Straight to the goal: each axis as fast as it may, which is the best for −d²."""
    goals = np.abs(np.stack([np.asarray(tasks.goal_x), np.asarray(tasks.goal_y)]))
    moved = np.asarray(tasks.max_step)[..., None] * np.arange(1, horizon + 1)
    left = np.maximum(goals[..., None] - moved, 0)
    return float(-np.sum(left**2, axis=(0, 2)).mean())
