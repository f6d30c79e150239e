"""What an agent earns while it adapts: every episode of a task counts.

A learner that adapts by gradient steps learns from K episodes before each step, and
what those earn is counted too: with n steps an agent lives (n + 1) K episodes.
"""

from typing import Any, NamedTuple

import numpy as np

from dmaml_jax.errors import UsageError
from dmaml_jax.results.evaluation import measure, task_sets
from dmaml_jax.runs.loading import Loaded
from dmaml_jax.statistics import crossed_bootstrap


class Lifetime(NamedTuple):
    """Returns of whole lifetimes, and of the agent at their end.

    Attributes:
        total: the return of a whole lifetime, of every seed and task, `[seeds, tasks]`.
        last: the return of the episodes after the last step alone, `[seeds, tasks]`.
        parts: the mean return of one episode after 0 … n steps, `[n + 1]`.
    """

    total: np.ndarray
    last: np.ndarray
    parts: np.ndarray

    @property
    def interval(self) -> tuple[float, float, float]:
        """Mean of `total` and its 95 % interval over seeds and tasks."""
        mean, low, high = crossed_bootstrap(self.total)
        return float(mean), float(low), float(high)


def lifetime(
    run: Loaded,
    *,
    num_episodes: int,
    episodes_per_step: int,
    num_tasks: int = 500,
    draw: int = 0,
    measured_on: int = 20,
) -> Lifetime:
    r"""The expected return of all episodes that a trained run lives in a new task.

    After every K episodes but the last ones it takes a step, so that N episodes are
    n + 1 = N / K parts, and the lifetime's return is K Σ_{j=0}^{n} J(θ_j), with J the
    mean return of one episode. On bandits an episode is a pull: this is the total
    reward of N pulls, exploration included. J(θ_j) is measured on episodes of its own.

    Args:
        run: the trained run.
        num_episodes: N, the length of a lifetime in episodes.
        episodes_per_step: K, the episodes that each step learns from.
        num_tasks: the number of fresh tasks.
        draw: the number of the draw of tasks, as `task_sets` takes it.
        measured_on: the number of episodes on which each J(θ_j) is measured.

    Raises:
        UsageError: the lifetime is not two or more whole parts.
    """
    parts, rest = divmod(num_episodes, episodes_per_step)
    if rest or parts < 2:
        raise UsageError(
            f"A lifetime of {num_episodes} episodes with a step after every "
            f"{episodes_per_step} is not two or more whole parts: give a multiple."
        )
    sets = task_sets(run, num_tasks=num_tasks, draw=draw, out_of_range=("none",))
    sizes: dict[str, Any] = {
        "num_steps": parts - 1,
        "num_trajectories": episodes_per_step,
        "num_episodes": measured_on,
    }
    (returns,) = measure(run, {"meta": run.states}, sets, **sizes).values()
    return of_returns(returns, episodes_per_step)


def of_returns(returns: np.ndarray, episodes_per_step: int) -> Lifetime:
    """The lifetimes that returns after 0 … n steps add up to.

    Args:
        returns: the mean return of an episode, `[seeds, tasks, n + 1]`.
        episodes_per_step: K, the episodes between two steps.
    """
    total = episodes_per_step * returns.sum(axis=2)
    return Lifetime(total, returns[:, :, -1], returns.mean(axis=(0, 1)))
