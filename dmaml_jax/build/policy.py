"""A policy that fits an environment's spaces."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.build import memory_learners
from dmaml_jax.build.interface import name_of
from dmaml_jax.build.latent import latent_policy_of
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.config.values import ActorCritic, ContinuousPolicy
from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.rl.action_distributions import (
    clipped_normal,
    squashed_normal,
)
from dmaml_jax.rl.heads import Head, categorical_head, normal_head
from dmaml_jax.rl.policies import Critic, mlp, on_arrays
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.types import Distribution, Policy


def default_policy(env: Any, tasks: TaskDistribution, config: TrainConfig) -> Policy:
    """A network that fits the environment's spaces, as they are for the medium task.

    It is an MLP for a learner that adapts by gradient steps.

    Raises:
        UsageError: its actions or observations are of a kind that no MLP fits.
    """
    if registry.entry(config.run.algo).off_policy:
        return latent_policy_of(config, env, tasks)
    # Now, also where a caller builds a learner inside of its own jit or vmap.
    with jax.ensure_compile_time_eval():
        middle = tasks.mean()
        head = _head(env, env.action_space(middle), config)
    with jax.numpy_dtype_promotion("standard"):
        obs, _ = jax.eval_shape(env.reset_env, jax.random.key(0), middle)
    if not hasattr(obs, "shape"):
        raise UsageError(
            f"The observations of {name_of(env)} are no arrays, so there is no "
            "default policy: pass policy=Policy(init, apply, distribution), whose "
            "functions take them as they are."
        )
    if config.method is None:
        return memory_learners.kind_of(config).policy(config, env, head, obs)
    policy = mlp(
        head,
        config.policy.hidden_sizes,
        precision=config.run.matmul_precision,
        critic=_critic(config),
    )
    plain = len(obs.shape) == 1 and jnp.issubdtype(obs.dtype, jnp.floating)
    scale, squash = config.policy.obs_scale, config.policy.obs_squash
    if plain and not squash and isinstance(scale, int | float) and scale == 1:
        return policy
    return on_arrays(policy, obs.shape, scale, squash=squash)


def _head(env: Any, space: Any, config: TrainConfig) -> Head:
    """How a network's outputs become actions of the environment."""
    values = config.policy
    if hasattr(space, "n"):
        return categorical_head(space.n)
    if len(getattr(space, "shape", ())) != 1:
        raise UsageError(
            f"The actions of {name_of(env)} are neither one choice nor a vector, so "
            "there is no default policy: pass policy=Policy(init, apply, distribution)."
        )
    assert isinstance(values, ContinuousPolicy)
    return normal_head(
        space.shape[0],
        _continuous(space, values.bounds),
        initial_std=values.initial_std,
        min_std=values.min_std,
    )


def _critic(config: TrainConfig) -> Critic:
    if not isinstance(config.method, ActorCritic):
        return "none"
    return "shared" if config.method.shared_trunk else "separate"


def _continuous(space: Any, bounds: str) -> Distribution:
    """A normal that keeps each entry of an action within its own range."""
    low = np.broadcast_to(np.asarray(space.low), space.shape)
    high = np.broadcast_to(np.asarray(space.high), space.shape)
    return {"squash": squashed_normal, "clip": clipped_normal}[bounds](low, high)
