"""From a configuration to the problem that a learner learns."""

from typing import Any

from dmaml_jax.build import memory_learners
from dmaml_jax.build.environment import own_limit
from dmaml_jax.build.latent import latent_problem_of
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.config.values import ActorCritic, PolicyGradient
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.rl.actor_critic import actor_critic
from dmaml_jax.rl.baselines import leave_one_out_time_mean, linear_features
from dmaml_jax.rl.objectives import Objective
from dmaml_jax.rl.policy_gradient import policy_gradient
from dmaml_jax.rl.problem import make_problem
from dmaml_jax.rl.surrogates import surrogate
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.types import Policy, Problem

_BASELINES = {
    "leave-one-out": leave_one_out_time_mean,
    "linear": linear_features,
    "none": None,
}


def problem_of(
    config: TrainConfig, env: Any, tasks: TaskDistribution, policy: Policy
) -> Problem:
    """The problem of a configuration on an environment, its tasks and a policy.

    Raises:
        UsageError: the environment has no time limit, or the policy does not go with
            the learner.
    """
    if registry.entry(config.run.algo).off_policy:
        return latent_problem_of(config, env, tasks)
    if config.method is None:
        return memory_learners.kind_of(config).problem(config, env, tasks, policy)
    if policy.memory is not None:
        raise UsageError(
            f"The policy has a memory, and {config.run.algo} adapts by gradient steps: "
            "give one without a memory, or choose a learner that adapts by one."
        )
    sampling = config.sampling
    return make_problem(
        env,
        tasks,
        policy,
        _objective(policy, config, config.method.step_reduction),
        horizon=sampling.horizon or own_limit(env),
        num_trajectories=sampling.num_trajectories,
        discount=sampling.discount,
    )


def _objective(policy: Policy, config: TrainConfig, step_reduction: Any) -> Objective:
    method, own = config.method, config.learner
    assert method is not None and isinstance(own, GradientOptions)
    common: dict[str, Any] = {
        "discount": config.sampling.discount,
        "surrogate": surrogate(own.surrogate, own.loaded_dice_lambda),
        "normalize_advantages": method.normalize_advantages,
        "step_reduction": step_reduction,
        "discount_weighting": method.discount_weighting,
    }
    if isinstance(method, PolicyGradient):
        return policy_gradient(policy, baseline=_BASELINES[method.baseline], **common)
    assert isinstance(method, ActorCritic)
    return actor_critic(
        policy,
        gae_lambda=method.gae_lambda,
        value_coefficient=method.value_coefficient,
        entropy_coefficient=method.entropy_coefficient,
        **common,
    )


def pre_step_of(config: TrainConfig, problem: Problem, policy: Policy) -> Problem:
    """The problem with the loss that the directed pre-step descends."""
    if config.directed is None or config.directed.directed_reduction == "same":
        return problem
    objective = _objective(policy, config, config.directed.directed_reduction)
    return problem._replace(
        advantages=objective.advantages, outer_loss=objective.outer_loss
    )
