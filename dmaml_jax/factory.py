"""From names and values to problems, learners and train steps."""

import dataclasses
from typing import Any

import optax

from dmaml_jax import envs
from dmaml_jax.baselines import leave_one_out_time_mean
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.learners.directed import (
    directed,
    medium_task_empirical,
    medium_task_exact,
)
from dmaml_jax.objectives import policy_gradient
from dmaml_jax.policies import mlp_categorical
from dmaml_jax.presets import (
    TrainConfig,
    learner_preset,
    parse_vary,
    preset,
    validated,
)
from dmaml_jax.problem import make_problem
from dmaml_jax.surrogates import surrogate
from dmaml_jax.tasks import TaskDistribution, uniform
from dmaml_jax.training import Init, Step, train_step
from dmaml_jax.types import MetaLearner, Policy, Problem

_OPTIMIZERS = {"adam": optax.adam, "sgd": optax.sgd}
_BASELINES = {"leave-one-out": leave_one_out_time_mean, "none": None}


def make_train_step(
    env: Any = "cartpole",
    algo: str = "directed-maml",
    *,
    tasks: TaskDistribution | None = None,
    policy: Policy | None = None,
    **values: Any,
) -> tuple[Init, Step]:
    """A learner's train step on an environment, for a training loop of one's own.

    Args:
        env: a name, or any environment with gymnax's interface (then give `tasks`).
        algo: a learner's name; `directed` is short for `directed-maml`.
        tasks: distribution of the environment's parameters.
        policy: π_θ; an MLP by default.
        **values: any field of `TrainConfig`, such as `inner_lr` or `num_tasks`. The
            step sizes and the discount may be traced, so that a caller can vmap
            over them.

    Returns:
        `init(key) -> state` and `step(key, state) -> (state, info)`; `step` samples
        the tasks and does one epoch. Neither is jitted.

    Raises:
        UsageError: an unknown name, or a value that makes no sense.

    Example:
        >>> import jax
        >>> init, step = make_train_step("cartpole", "maml", horizon=5, num_tasks=2)
        >>> state, info = jax.jit(step)(jax.random.key(1), init(jax.random.key(0)))
        >>> print(state.epoch, info.num_steps)
        1 200
    """
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    for name in values:
        if name not in known:
            raise UsageError(
                f"There is no value {name!r}: choose from {', '.join(sorted(known))}."
            )
    named = isinstance(env, str)
    own = learner_preset(algo)
    base = preset(env, algo) if named else TrainConfig(env=env.name, **own)
    config = validated(dataclasses.replace(base, algo=algo, **values))
    problem, learner = build(
        config, env=None if named else env, tasks=tasks, policy=policy
    )
    return train_step(problem, learner, config.num_tasks)


def build(
    config: TrainConfig,
    *,
    env: Any = None,
    tasks: TaskDistribution | None = None,
    policy: Policy | None = None,
) -> tuple[Problem, MetaLearner]:
    """The problem and the learner of a validated configuration.

    Args:
        config: values, as `validated` returns them.
        env: an environment in place of the one that `config.env` names.
        tasks: in place of `config.vary`.
        policy: in place of the MLP of `config.hidden_sizes`.

    Returns:
        Problem and learner.

    Raises:
        UsageError: the environment and the values do not fit each other.
    """
    if env is None:
        env, _ = envs.make(config.env)
        tasks = tasks or _named_tasks(env, config)
    if tasks is None:
        raise UsageError(
            "An environment given as an object needs its task distribution: pass "
            "tasks=uniform(env.default_params, name=(low, high))."
        )
    policy = policy or _default_policy(env, tasks, config)
    objective = policy_gradient(
        policy,
        discount=config.discount,
        surrogate=surrogate(config.surrogate, config.loaded_dice_lambda),
        baseline=_BASELINES[config.baseline],
        normalize_advantages=config.normalize_advantages,
        step_reduction=config.step_reduction,
        discount_weighting=config.discount_weighting,
    )
    problem = make_problem(
        env,
        tasks,
        policy,
        objective,
        horizon=config.horizon,
        num_trajectories=config.num_trajectories,
        discount=config.discount,
    )
    return problem, learner_of(config, problem)


def _named_tasks(env: Any, config: TrainConfig) -> TaskDistribution:
    # The environment's own limit gives way where the horizon is longer.
    params = env.default_params
    limit = max(params.max_steps_in_episode, config.horizon)
    try:
        return uniform(
            params.replace(max_steps_in_episode=limit), **parse_vary(config.vary)
        )
    except ValueError as error:
        raise UsageError(str(error)) from None


def _default_policy(env: Any, tasks: TaskDistribution, config: TrainConfig) -> Policy:
    actions = getattr(env.action_space(tasks.mean()), "n", None)
    if actions is None:
        raise UsageError(
            f"The actions of {env.name} are not discrete, so there is no default "
            "policy: pass policy=Policy(init, apply, distribution)."
        )
    return mlp_categorical(
        actions, config.hidden_sizes, precision=config.matmul_precision
    )


def learner_of(config: TrainConfig, problem: Problem) -> MetaLearner:
    """The learner that a validated configuration names, on any problem.

    Args:
        config: values, as `validated` returns them.
        problem: what it learns.
    """
    entry = registry.entry(config.algo)
    learner = registry.find(config.algo)(
        problem,
        inner_lr=config.inner_lr,
        meta_optimizer=_OPTIMIZERS[config.outer_optimizer](config.outer_lr),
        num_inner_steps=config.num_inner_steps,
        **dict(entry.options),
        **{name: getattr(config, name) for name in entry.takes},
    )
    if not registry.is_directed(config.algo):
        return learner
    exact = config.medium_task == "exact"
    return directed(
        learner,
        problem,
        directed_lr=config.directed_lr,
        task_rule=medium_task_exact(problem) if exact else medium_task_empirical,
        directed_optimizer=_OPTIMIZERS[config.directed_optimizer],
    )
