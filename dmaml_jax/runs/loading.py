"""A trained run, read back from its folder: everything that can be done with it."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.runs.checkpoint import Checkpoints
from dmaml_jax.errors import UsageError
from dmaml_jax.build.learner import build
from dmaml_jax.config.presets import TrainConfig
from dmaml_jax.runs.stored import read_config
from dmaml_jax.tasks.distributions import TaskDistribution, uniform
from dmaml_jax.training.program import SeedState, train_step
from dmaml_jax.types import MetaLearner, Policy, Problem
from dmaml_jax.tasks.written import parse_values
from dmaml_jax.build.environment import (
    default_policy,
    named_environment,
    named_tasks,
    with_solver,
)


class Loaded(NamedTuple):
    """A run at its newest whole checkpoint.

    Attributes:
        folder: of the run.
        config: its values; `config.env` names the solver that was asked for.
        env: the environment.
        tasks: the distribution that it trained on.
        policy: π_θ.
        problem: what it trained on.
        learner: what trained.
        states: the learner's states of all seeds, stacked on axis 0.
        seeds: their numbers.
        epoch: epochs done.
    """

    folder: Path
    config: TrainConfig
    env: Any
    tasks: TaskDistribution
    policy: Policy
    problem: Problem
    learner: MetaLearner
    states: Any
    seeds: list[int]
    epoch: int


def load(folder: str | Path, *, solver: str | None = None) -> Loaded:
    """Read a run back.

    Args:
        folder: of the run.
        solver: of an environment that has several, "exact" or "fast"; the one that it
            trained with by default.

    Raises:
        UsageError: it is no run folder, it holds no whole checkpoint, or the
            environment has no solvers.
    """
    folder = Path(folder).expanduser()
    config = read_config(folder)
    config = dataclasses.replace(config, env=with_solver(config.env, solver))
    env = named_environment(config.env)
    tasks = named_tasks(env, config)
    policy = default_policy(env, tasks, config)
    problem, learner = build(config, env=env, tasks=tasks, policy=policy)
    init, _ = train_step(problem, learner, config.num_tasks)
    seeds = list(range(config.seed, config.seed + config.seeds))
    like = jax.eval_shape(
        jax.vmap(lambda key: SeedState(init(key), jnp.int32(0))),
        jax.random.split(jax.random.key(0), len(seeds)),
    )
    found = Checkpoints(folder).latest(like)
    if found is None:
        raise UsageError(
            f"{folder} holds no whole checkpoint to load: finish the run with "
            f"dmaml-jax train --resume {folder}."
        )
    epoch, state = found
    return Loaded(
        folder,
        config,
        env,
        tasks,
        policy,
        problem,
        learner,
        state.learner,
        seeds,
        epoch,
    )


def lane_of(run: Loaded, seed: int | None) -> int:
    """Where a seed's state stands in `run.states`; the first one's for None.

    Raises:
        UsageError: the run has no such seed.
    """
    if seed is None:
        return 0
    if seed not in run.seeds:
        raise UsageError(
            f"--seed is {seed}, but the run has the seeds {run.seeds[0]} to "
            f"{run.seeds[-1]}: choose one of them."
        )
    return run.seeds.index(seed)


def chosen_task(run: Loaded, items: tuple[str, ...]) -> Any:
    """The medium task with some parameters at given values.

    Args:
        run: a run.
        items: `NAME=VALUE`, as `--task` takes them.

    Raises:
        UsageError: an item is no such thing, or the environment has no such parameter
            or value.
    """
    middle, values = run.tasks.mean(), parse_values(items, "--task")
    points = {name: (value, value) for name, value in values.items()}
    try:
        task = uniform(middle, **points).mean() if points else middle
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"--task: {str(error).rstrip('.')}.") from None
    for name, value in values.items():
        if value <= 0 and name in getattr(run.env, "positive", ()):
            raise UsageError(f"--task {name}={value:g}: {name} must be above 0.")
    for smaller, larger in getattr(run.env, "ordered", ()):
        if float(getattr(task, smaller)) > float(getattr(task, larger)):
            raise UsageError(
                f"--task: {smaller} must stay below {larger}, which is "
                f"{float(getattr(task, larger)):g}."
            )
    return task
