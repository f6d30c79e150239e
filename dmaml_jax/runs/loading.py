"""A trained run, read back from its folder: everything that can be done with it."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.build.environment import named_environment, named_tasks, with_solver
from dmaml_jax.build.learner import build
from dmaml_jax.build.policy import default_policy
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.errors import UsageError
from dmaml_jax.runs.checkpoint import Checkpoints
from dmaml_jax.runs.folder import rerun_command, resume_command
from dmaml_jax.runs.stored import folder_of, read_config, read_record
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.training.chunk import SeedState, train_step
from dmaml_jax.training.devices import require_same_numbers
from dmaml_jax.types import MetaLearner, Policy, Problem


class Loaded(NamedTuple):
    """A run at its newest whole checkpoint.

    Attributes:
        folder: the path of the run folder.
        config: the run's values; `config.run.env` names the solver that was asked for.
        env: the environment that it was trained on.
        tasks: the distribution of its tasks.
        policy: the policy π_θ, as pure functions.
        problem: the problem that the learner learned.
        learner: the learner, whose `adapt` takes one of the states.
        states: the learner's states of all seeds, stacked on axis 0.
        seeds: the numbers of the seeds, in the order of the states.
        epoch: the number of epochs that the checkpoint had done.
        failed_at: the epoch at which each seed was frozen, 0 where it was not.
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
    failed_at: tuple[int, ...] = ()


def load(folder: str | Path, *, solver: str | None = None) -> Loaded:
    """Read a run back.

    Args:
        folder: the path of the run folder.
        solver: "exact" or "fast", for an environment that has several solvers; by
            default the one that it was trained with.

    Raises:
        UsageError: it is no run folder, it holds no whole checkpoint, or the
            environment has no solvers.
    """
    folder = folder_of(folder)
    config = read_config(folder)
    require_same_numbers(read_record(folder).get("program", {}), folder)
    if solver is not None:
        config = read_config(folder, env=with_solver(config.run.env, solver))
    env = named_environment(config.run.env)
    tasks = named_tasks(env, config)
    policy = default_policy(env, tasks, config)
    problem, learner = build(config, env=env, tasks=tasks, policy=policy)
    init, _ = train_step(problem, learner, config.sampling.num_tasks)
    seeds = list(config.seed_numbers)
    like = jax.eval_shape(
        jax.vmap(lambda key: SeedState(init(key), jnp.int32(0))),
        jax.random.split(jax.random.key(0), len(seeds)),
    )
    epoch, state = _newest(folder, like)
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
        tuple(np.asarray(state.failed_at).tolist()),
    )


def frozen(run: Loaded) -> dict[int, int]:
    """The seeds that stopped being finite in training, and the epochs at which."""
    pairs = zip(run.seeds, run.failed_at, strict=False)
    return {seed: epoch for seed, epoch in pairs if epoch}


def say_if_frozen(run: Loaded, lane: int) -> None:
    """Print a note where the seed of a lane did not train to the end."""
    epoch = frozen(run).get(run.seeds[lane])
    if epoch:
        print(
            f"note: seed {run.seeds[lane]} was frozen at epoch {epoch}, where it was "
            "no longer finite; this is its policy before that.",
            file=sys.stderr,
        )


def require_finite(params: Any, steps: int) -> None:
    """Refuse parameters that are no longer finite, with which no policy can act.

    Raises:
        UsageError: some are not.
    """
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise UsageError(
            f"The policy is no longer finite after --steps {steps}: adaptation with "
            "this step size diverges, so take fewer steps or train with a smaller "
            "--inner-lr."
        )


def _newest(folder: Path, like: Any) -> tuple[int, Any]:
    """Epoch and state of the newest checkpoint that can be read."""
    checkpoints, causes = Checkpoints(folder), list[str]()
    found = checkpoints.latest(like, say=causes.append)
    if found is None and checkpoints.epochs():
        raise UsageError(
            f"{folder} holds no checkpoint that can be read. {' '.join(causes)} To "
            f"train the same anew: {rerun_command(folder)}"
        )
    if found is None:
        raise UsageError(
            f"{folder} holds no checkpoint yet: finish the run with "
            f"{resume_command(folder)}."
        )
    for cause in causes:
        print(cause, file=sys.stderr)
    return found


def lane_of(run: Loaded, seed: int | None) -> int:
    """The place of a seed's state in `run.states`; None stands for the first seed.

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
