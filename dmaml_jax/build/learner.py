"""From a configuration to a problem and a learner."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.build.environment import (
    named_environment,
    named_tasks,
    require_own_tasks,
    require_plain,
)
from dmaml_jax.build.interface import require_sound
from dmaml_jax.build.policy import default_policy
from dmaml_jax.build.problem import pre_step_of, problem_of
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.config.values import ActorCritic, Directed
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.learners.directed import directed
from dmaml_jax.learners.gates import Gate, always, unless_opposed, until_plateau
from dmaml_jax.learners.medium_task import (
    TaskRule,
    fresh_task,
    given_task,
    medium_task_empirical,
    medium_task_exact,
    task_of_batch,
)
from dmaml_jax.learners.options import GradientOptions, MemoryOptions
from dmaml_jax.learners.trust_region import trust_region
from dmaml_jax.options import is_traced
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.tasks.of_environment import switches_and_counts, task_of
from dmaml_jax.types import MetaLearner, OuterRule, Policy, Problem, Task

_OPTIMIZERS = {"adam": optax.adam, "sgd": optax.sgd}


def build(
    config: TrainConfig,
    *,
    env: Any = None,
    tasks: TaskDistribution | None = None,
    policy: Policy | None = None,
) -> tuple[Problem, MetaLearner]:
    """The problem and the learner of a configuration.

    Args:
        config: the values of the run, as `configuration` returns them.
        env: an environment to use in place of the one that `config.run.env` names.
        tasks: the tasks to use in place of those that `config.tasks` describes.
        policy: the policy to use in place of the default MLP.

    Returns:
        The problem, and the learner that learns it.

    Raises:
        UsageError: the environment and the values do not fit each other.
    """
    if env is None:
        env = named_environment(config.run.env)
        tasks = tasks or named_tasks(env, config)
    if tasks is None and getattr(env, "task_law", None) is not None:
        tasks = named_tasks(env, config)
    if tasks is None:
        raise UsageError(
            "An environment given as an object needs its task distribution: pass "
            "tasks=uniform(env.default_params, name=(low, high))."
        )
    require_plain(env)
    require_own_tasks(env, tasks)
    require_sound(env, tasks.mean())
    policy = policy or default_policy(env, tasks, config)
    problem = problem_of(config, env, tasks, policy)
    if config.directed is None:
        return problem, learner_of(config, problem)
    return problem, learner_of(
        config,
        problem,
        pre_step=pre_step_of(config, problem, policy),
        medium_task=_medium_task(config.directed, env, tasks),
    )


def learner_of(
    config: TrainConfig,
    problem: Problem,
    *,
    pre_step: Problem | None = None,
    medium_task: Task | None = None,
) -> MetaLearner:
    """The learner that a configuration names, on any problem.

    Args:
        config: the values of the run; the problem decides what they cannot.
        problem: the problem that the learner is to learn.
        pre_step: the same problem with the loss of the directed pre-step, where that
            is another.
        medium_task: the task of the pre-step, with `--medium-task given` only.
    """
    learner = _base_learner(config, problem)
    own = config.directed
    if own is None:
        return learner
    # The schedule counts pre-steps.
    pre_steps = config.run.epochs * (1 if own.directed_placement == "epoch" else 2)
    return directed(
        learner,
        pre_step or problem,
        directed_lr=_scheduled(own.directed_lr, own.directed_schedule, pre_steps),
        task_rule=_task_rule(own, problem, medium_task),
        directed_optimizer=_OPTIMIZERS[own.directed_optimizer],
        placement=own.directed_placement,
        gate=_gate(own),
    )


def _base_learner(config: TrainConfig, problem: Problem) -> MetaLearner:
    """The learner without a pre-step."""
    options, algo = config.learner, config.run.algo
    inner: dict[str, Any] = {}
    if isinstance(options, GradientOptions):
        inner["inner_lr"] = options.inner_lr
        inner["num_inner_steps"] = options.num_inner_steps
    return registry.find(algo)(
        problem,
        meta_optimizer=_meta_optimizer(config, problem),
        **inner,
        **registry.entry(algo).fixed,
        **registry.own_options(options),
    )


def _meta_optimizer(
    config: TrainConfig, problem: Problem
) -> optax.GradientTransformation | OuterRule:
    options = config.learner
    assert isinstance(options, GradientOptions | MemoryOptions)
    kind = "adam"
    if isinstance(options, GradientOptions):
        if options.outer_optimizer == "trust-region":
            return _trust_region(config, options, problem)
        kind = options.outer_optimizer
    # The schedule counts the optimiser's steps.
    num_steps = config.run.epochs * options.steps_per_epoch
    rate = _scheduled(options.outer_lr, options.outer_schedule, num_steps)
    optimizer = _OPTIMIZERS[kind](rate)
    norm = options.clip_norm
    if is_traced(norm):
        norm = jnp.where(norm == 0, jnp.inf, norm)
    elif norm == 0:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(norm), optimizer)


def _trust_region(
    config: TrainConfig, options: GradientOptions, problem: Problem
) -> OuterRule:
    """TRPO's step on the policy, and Adam's on a value network.

    Raises:
        UsageError: the policy has no KL, or its value's parameters are not told.
    """
    has_critic = isinstance(config.method, ActorCritic)
    if problem.kl is None:
        raise UsageError(
            "--outer-optimizer trust-region needs the KL of action distributions, and "
            "the policy's has none: give its Distribution one, or choose adam or sgd."
        )
    if has_critic and problem.critic is None:
        raise UsageError(
            "--outer-optimizer trust-region moves the policy alone, and the given "
            "policy does not say which parameters are the value's: give Policy(..., "
            "critic=KEY), the key of theta under which they stand."
        )
    return trust_region(
        kl_bound=options.kl_bound,
        fisher_iterations=options.fisher_iterations,
        fisher_damping=options.fisher_damping,
        fisher_residual=options.fisher_residual,
        backtracking=options.backtracking,
        max_backtracks=options.max_backtracks,
        critic=problem.critic if has_critic else None,
        critic_optimizer=optax.adam(options.critic_lr) if has_critic else None,
    )


def _scheduled(rate: Any, schedule: str, num_steps: int) -> Any:
    if schedule == "constant":
        return rate
    return optax.cosine_decay_schedule(rate, num_steps)


def _gate(own: Directed) -> Gate:
    return {
        "always": always,
        "until-plateau": lambda: until_plateau(own.plateau_patience),
        "unless-opposed": unless_opposed,
    }[own.directed_gate]()


def _task_rule(own: Directed, problem: Problem, medium_task: Task | None) -> TaskRule:
    return {
        "exact": medium_task_exact(problem),
        "empirical": medium_task_empirical,
        "one-of-batch": task_of_batch,
        "fresh": fresh_task(problem),
        "given": given_task(medium_task),
    }[own.medium_task]


def _medium_task(own: Directed, env: Any, tasks: TaskDistribution) -> Task | None:
    """The task of `--medium-task given`; None with any other medium task.

    Raises:
        UsageError: a given value is wrong, or the mean of a batch is no task.
    """
    if own.medium_task == "given":
        # Now, also where a caller builds a learner inside of its own jit or vmap.
        with jax.ensure_compile_time_eval():
            return task_of(env, tasks.mean(), own.medium_values, "--medium-values")
    if own.medium_task == "empirical" and (names := switches_and_counts(tasks)):
        raise UsageError(
            f"--medium-task empirical is the mean of a batch, and {names[0]} takes "
            "whole numbers only, which have none: choose another --medium-task."
        )
    return None
