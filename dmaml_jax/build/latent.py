"""From a configuration to the networks and the problem of PEARL."""

from typing import Any

import jax
import numpy as np

from dmaml_jax.build.environment import own_limit
from dmaml_jax.build.interface import name_of
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import pearl
from dmaml_jax.rl.latent_networks import Networks
from dmaml_jax.rl.latent_problem import dense_reward_of, latent_policy, latent_problem
from dmaml_jax.rl.soft_actor_critic import Weights
from dmaml_jax.rl.soft_values import Actions, bounded_numbers, choices
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.types import Policy, Problem


def latent_policy_of(config: TrainConfig, env: Any, tasks: TaskDistribution) -> Policy:
    """The policy that acts on an observation and a z, which its parameters hold.

    Raises:
        UsageError: the environment's actions or observations fit no network.
    """
    return latent_policy(
        env,
        tasks,
        _networks(config, env, tasks),
        obs_scale=config.policy.obs_scale,
        obs_squash=config.policy.obs_squash,
    )


def latent_problem_of(
    config: TrainConfig, env: Any, tasks: TaskDistribution
) -> Problem:
    """The problem of a configuration whose learner is PEARL.

    Raises:
        UsageError: the environment fits no network, or there is no dense reward to
            leave.
    """
    own, sampling = config.learner, config.sampling
    assert isinstance(own, pearl.Options)
    if not own.dense_losses and dense_reward_of(env) is None:
        raise UsageError(
            f"--dense-losses False has no effect on {name_of(env)}, which has one "
            "reward: leave it out."
        )
    return latent_problem(
        env,
        tasks,
        _networks(config, env, tasks),
        Weights(sampling.discount, own.reward_scale, own.target_entropy),
        horizon=sampling.horizon or own_limit(env),
        num_trajectories=sampling.num_trajectories,
        obs_scale=config.policy.obs_scale,
        obs_squash=config.policy.obs_squash,
        dense=own.dense_losses,
    )


def _networks(config: TrainConfig, env: Any, tasks: TaskDistribution) -> Networks:
    own = config.learner
    assert isinstance(own, pearl.Options)
    # Now, also where a caller builds a learner inside of its own jit or vmap.
    with jax.ensure_compile_time_eval():
        space = env.action_space(tasks.mean())
        actions = _actions(env, space)
    with jax.numpy_dtype_promotion("standard"):
        obs, _ = jax.eval_shape(env.reset_env, jax.random.key(0), tasks.mean())
    if not hasattr(obs, "shape"):
        raise UsageError(
            f"The observations of {name_of(env)} are no arrays, which PEARL's networks "
            "need: choose another learner, with a policy of your own."
        )
    return Networks(
        actions=actions,
        latent_size=own.latent_size,
        hidden_sizes=config.policy.hidden_sizes,
        encoder_sizes=own.encoder_sizes,
        next_obs=own.next_obs_in_context,
        temperature=own.initial_temperature,
        learn_temperature=own.temperature == "learned",
        precision=config.run.matmul_precision,
    )


def _actions(env: Any, space: Any) -> Actions:
    """What kind of actions a space has.

    Raises:
        UsageError: they are neither one choice nor a vector.
    """
    if hasattr(space, "n"):
        return choices(int(space.n))
    if len(getattr(space, "shape", ())) != 1:
        raise UsageError(
            f"The actions of {name_of(env)} are neither one choice nor a vector, which "
            "PEARL's networks need: choose another learner, with a policy of your own."
        )
    low = np.broadcast_to(np.asarray(space.low), space.shape)
    high = np.broadcast_to(np.asarray(space.high), space.shape)
    return bounded_numbers(low, high)
