"""What an agent earns while it adapts: every episode of a task counts.

A learner that adapts by gradient steps learns from K episodes before each step, and
what those earn is counted too: with n steps an agent lives (n + 1) K episodes. One that
adapts by a memory lives through the episodes of a trial.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.errors import UsageError
from dmaml_jax.results.evaluation import built_for, measure, task_sets
from dmaml_jax.runs.loading import Loaded
from dmaml_jax.statistics import crossed_bootstrap
from dmaml_jax.training.keys import seed_keys


class Lifetime(NamedTuple):
    """Returns of whole lifetimes, and of the agent at their end.

    Attributes:
        total: the return of a whole lifetime, of every seed and task, `[seeds, tasks]`.
        last: the return of an episode at its end, `[seeds, tasks]`: after the last
            step, or of a trial the last one.
        parts: the mean return of one episode after 0 … n steps, `[n + 1]`; of a trial
            that of each of its n episodes, `[n]`.
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


def trials(
    run: Loaded, *, num_trials: int = 500, draw: int = 0, at_once: int = 1000
) -> Lifetime:
    """What a trained run with a memory earns in trials, each of a fresh task.

    A trial has as many episodes as in training. Every seed meets the same tasks.

    Args:
        run: the trained run, of RL² or SNAIL.
        num_trials: how many trials each seed lives through.
        draw: the number of the draw of tasks, as `task_sets` takes it.
        at_once: how many trials are computed side by side.

    Raises:
        UsageError: its learner does not live in trials.
    """
    if run.problem.episode_returns is None:
        raise UsageError(
            f"--algo {run.config.run.algo} does not learn from whole trials: choose a "
            "run of rl2 or snail, or call lifetime, which counts gradient steps."
        )
    problem, _ = built_for(run, 1)
    key_tasks, _ = jax.random.split(seed_keys(draw).tasks)
    tasks = jax.random.split(key_tasks, num_trials)

    @jax.jit
    def of_seeds(seeds: jax.Array, params: Any) -> jax.Array:
        def of_seed(each: Any) -> jax.Array:
            seed, own = each
            lives = jax.random.split(seed_keys(seed).evaluation, num_trials)

            def of_trial(keys: tuple[jax.Array, jax.Array]) -> jax.Array:
                task = run.tasks.sample_held_out(keys[0])
                assert problem.episode_returns is not None
                return problem.episode_returns(problem.collect(keys[1], own, task))

            width = min(at_once, num_trials)
            return jax.lax.map(of_trial, (tasks, lives), batch_size=width)

        return jax.lax.map(of_seed, (seeds, params))

    seeds = jnp.asarray(run.seeds, jnp.uint32)
    returns = np.asarray(of_seeds(seeds, run.states.params))
    return Lifetime(returns.sum(axis=2), returns[:, :, -1], returns.mean(axis=(0, 1)))


def of_returns(returns: np.ndarray, episodes_per_step: int) -> Lifetime:
    """The lifetimes that returns after 0 … n steps add up to.

    Args:
        returns: the mean return of an episode, `[seeds, tasks, n + 1]`.
        episodes_per_step: K, the episodes between two steps.
    """
    total = episodes_per_step * returns.sum(axis=2)
    return Lifetime(total, returns[:, :, -1], returns.mean(axis=(0, 1)))
