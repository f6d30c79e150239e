"""From names and values to problems, learners and train steps."""

import dataclasses
from typing import Any

import optax

from dmaml_jax.rl.baselines import leave_one_out_time_mean, linear_features
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.learners.directed import directed
from dmaml_jax.learners.medium_task import (
    TaskRule,
    fresh_task,
    given_task,
    medium_task_empirical,
    medium_task_exact,
    task_of_batch,
)
from dmaml_jax.learners.gates import Gate, always, unless_opposed, until_plateau
from dmaml_jax.rl.objectives import Objective
from dmaml_jax.rl.actor_critic import actor_critic
from dmaml_jax.rl.policy_gradient import policy_gradient
from dmaml_jax.config.presets import TrainConfig, learner_preset, preset
from dmaml_jax.rl.problem import make_problem
from dmaml_jax.rl.surrogates import surrogate
from dmaml_jax.tasks.distributions import TaskDistribution, uniform
from dmaml_jax.training.program import Init, Step, train_step
from dmaml_jax.types import MetaLearner, Policy, Problem
from dmaml_jax.config.rules import validated
from dmaml_jax.tasks.written import parse_values
from dmaml_jax.build.environment import default_policy, named_environment, named_tasks

_OPTIMIZERS = {"adam": optax.adam, "sgd": optax.sgd}
_BASELINES = {
    "leave-one-out": leave_one_out_time_mean,
    "linear": linear_features,
    "none": None,
}


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
            over them; cosine schedules end after `epochs`.

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
        env = named_environment(config.env)
        tasks = tasks or named_tasks(env, config)
    if tasks is None:
        raise UsageError(
            "An environment given as an object needs its task distribution: pass "
            "tasks=uniform(env.default_params, name=(low, high))."
        )
    policy = policy or default_policy(env, tasks, config)
    problem = make_problem(
        env,
        tasks,
        policy,
        _objective(policy, config),
        horizon=config.horizon or int(env.default_params.max_steps_in_episode),
        num_trajectories=config.num_trajectories,
        discount=config.discount,
    )
    pre_step = problem
    if config.directed_reduction != "same":
        reduction = config.directed_reduction
        other = dataclasses.replace(config, step_reduction=reduction)
        objective = _objective(policy, other)
        pre_step = problem._replace(
            advantages=objective.advantages, outer_loss=objective.outer_loss
        )
    return problem, learner_of(config, problem, pre_step=pre_step)


def _objective(policy: Policy, config: TrainConfig) -> Objective:
    common = {
        "discount": config.discount,
        "surrogate": surrogate(config.surrogate, config.loaded_dice_lambda),
        "normalize_advantages": config.normalize_advantages,
        "step_reduction": config.step_reduction,
        "discount_weighting": config.discount_weighting,
    }
    if config.method == "pg":
        return policy_gradient(policy, baseline=_BASELINES[config.baseline], **common)
    return actor_critic(
        policy,
        gae_lambda=config.gae_lambda,
        value_coefficient=config.value_coefficient,
        entropy_coefficient=config.entropy_coefficient,
        **common,
    )


def learner_of(
    config: TrainConfig, problem: Problem, *, pre_step: Problem | None = None
) -> MetaLearner:
    """The learner that a validated configuration names, on any problem.

    Args:
        config: values, as `validated` returns them.
        problem: what it learns.
        pre_step: the same problem with another loss for the directed pre-step.

    Raises:
        UsageError: the given medium task has a parameter that tasks do not have.
    """
    entry = registry.entry(config.algo)
    values = _learner_values(config)
    learner = registry.find(config.algo)(
        problem,
        inner_lr=config.inner_lr,
        meta_optimizer=_meta_optimizer(config),
        **({} if config.algo.endswith("joint") else {"num_inner_steps": config.num_inner_steps}),
        **dict(entry.options),
        **{name: values[name] for name in entry.takes},
    )
    if not registry.is_directed(config.algo):
        return learner
    return directed(
        learner,
        pre_step or problem,
        directed_lr=_scheduled(
            config.directed_lr,
            config.directed_schedule,
            # The schedule counts pre-steps.
            config.epochs * (1 if config.directed_placement == "epoch" else 2),
        ),
        task_rule=_task_rule(config, problem),
        directed_optimizer=_OPTIMIZERS[config.directed_optimizer],
        placement=config.directed_placement,
        gate=_gate(config),
    )


def _learner_values(config: TrainConfig) -> dict[str, Any]:
    """What learners take beyond the common arguments, by its name."""
    return {"score_baseline": config.score_baseline}


def _meta_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    rate = _scheduled(config.outer_lr, config.outer_schedule, config.epochs)
    optimizer = _OPTIMIZERS[config.outer_optimizer](rate)
    # A traced norm is one that a caller varies, and so one that clips.
    if isinstance(config.clip_norm, int | float) and config.clip_norm == 0:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), optimizer)


def _scheduled(rate: Any, schedule: str, num_steps: int) -> Any:
    if schedule == "constant":
        return rate
    return optax.cosine_decay_schedule(rate, num_steps)


def _gate(config: TrainConfig) -> Gate:
    return {
        "always": always,
        "until-plateau": lambda: until_plateau(config.plateau_patience),
        "unless-opposed": unless_opposed,
    }[config.directed_gate]()


def _task_rule(config: TrainConfig, problem: Problem) -> TaskRule:
    if config.medium_task == "given":
        return given_task(_given_task(config, problem))
    return {
        "exact": medium_task_exact(problem),
        "empirical": medium_task_empirical,
        "one-of-batch": task_of_batch,
        "fresh": fresh_task(problem),
    }[config.medium_task]


def _given_task(config: TrainConfig, problem: Problem) -> Any:
    points = {
        name: (value, value)
        for name, value in parse_values(config.medium_values).items()
    }
    try:
        return uniform(problem.medium_task(), **points).mean()
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"--medium-values: {error}") from None
