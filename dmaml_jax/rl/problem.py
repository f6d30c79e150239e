"""Environment, tasks, policy and objective, put together into a `Problem`."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.errors import UsageError
from dmaml_jax.learners.parts import part
from dmaml_jax.rl.objectives import (
    Objective,
    mean_kl,
    ratios,
    reweighed,
    trajectory_log_probs,
)
from dmaml_jax.rl.returns import discount_powers
from dmaml_jax.rl.rollout import rollout
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.types import Params, Pieces, Policy, Problem, Task, Trajectory

# Measured with CartPole on two shared cores, from 10 to 200 steps: 20 steps of 10
# trajectories keep a gradient's activations in cache, and looking at the alive mask
# every 20 steps costs less than the steps it saves.
_CHUNK = 20


def make_problem(
    env: Any,
    tasks: TaskDistribution,
    policy: Policy,
    objective: Objective,
    *,
    horizon: int,
    num_trajectories: int,
    discount: float | jax.Array,
    gradient_chunk: int | None = None,
) -> Problem:
    """Put a reinforcement-learning problem together.

    Args:
        env: an environment with gymnax's interface.
        tasks: the distribution of its parameters.
        policy: π_θ, which acts in it.
        objective: how K trajectories become a loss.
        horizon: H, the number of steps that an episode has at most.
        num_trajectories: K, how many trajectories a collection of one task has.
        discount: γ of `Problem.objective`; give the objective the same one.
        gradient_chunk: how many steps a piece of a gradient has; 0 takes the data
            whole. By default the platform decides: on a CPU tasks and seeds take turns,
            in pieces that fit its cache and no further than the last living trajectory;
            elsewhere, and with losses that are no sums over single steps (DiCE),
            everything is one batch.

    Returns:
        The problem, for any learner.

    Raises:
        UsageError: pieces of a loss that is no sum over single steps.
    """
    chunk = _chunk_of(gradient_chunk, objective)

    def init(key: jax.Array) -> Params:
        with jax.numpy_dtype_promotion("standard"):
            obs, _ = jax.eval_shape(env.reset_env, key, tasks.mean())
            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), obs)
            return policy.init(key, zeros)

    def sample_tasks(key: jax.Array, num: int) -> Task:
        return jax.vmap(tasks.sample)(jax.random.split(key, num))

    @partial(jax.jit, static_argnames="num")  # traced once for an epoch's collections
    def collect(
        key: jax.Array, params: Params, task: Task, num: int = num_trajectories
    ) -> Trajectory:
        def one(key: jax.Array) -> Trajectory:
            return rollout(
                key,
                params,
                task,
                env=env,
                policy=policy,
                horizon=horizon,
                chunk=_CHUNK,
            )

        with part("rollouts"):
            return jax.vmap(one)(jax.random.split(key, num))

    return Problem(
        init=init,
        sample_tasks=sample_tasks,
        medium_task=tasks.mean,
        collect=collect,
        advantages=objective.advantages,
        inner_loss=objective.inner_loss,
        outer_loss=objective.outer_loss,
        objective=partial(discounted_return, discount),
        log_probs=partial(trajectory_log_probs, policy),
        kl=partial(mean_kl, policy) if policy.distribution.kl else None,
        performance=lambda data: jnp.mean(jnp.sum(data.rewards, axis=1)),
        num_steps=lambda data: jnp.sum(data.alive, dtype=jnp.int32),
        pieces=partial(_pieces, chunk) if chunk else None,
        ratios=partial(ratios, policy),
        reweighed=partial(reweighed, policy),
        clipped_loss=objective.clipped_loss,
        critic=policy.critic,
    )


def _chunk_of(given: int | None, objective: Objective) -> int:
    """Steps per piece of a gradient; here alone the platform decides."""
    if given is None:
        on_cpu = jax.default_backend() == "cpu"
        return _CHUNK if on_cpu and objective.additive else 0
    if given and not objective.additive:
        raise UsageError(
            f"gradient_chunk is {given}, but this surrogate is no sum over single "
            "steps: leave gradient_chunk out, or give 0."
        )
    return given


def discounted_return(discount: float | jax.Array, data: Trajectory) -> jax.Array:
    """Ĵ = (1/K) Σ_k Σ_t γ^t r_{k,t}."""
    powers = discount_powers(discount, data.rewards.shape[1], data.rewards.dtype)
    return jnp.mean(jnp.sum(data.rewards * powers, axis=1))


def _pieces(chunk: int, data: Trajectory) -> Pieces:
    """Cut the time axis into chunks, as far as any trajectory lived.

    Right for losses of data that `advantages` has seen: padded steps have weight 0.
    """
    horizon = data.alive.shape[1]
    chunk = min(chunk, horizon)
    padding = -horizon % chunk
    data = jax.tree.map(
        lambda x: jnp.pad(x, [(0, 0), (0, padding)] + [(0, 0)] * (x.ndim - 2)), data
    )
    lived = jnp.max(jnp.sum(data.alive, axis=1, dtype=jnp.int32))

    def pick(index: jax.Array) -> Trajectory:
        def cut(x: jax.Array, size: int) -> jax.Array:
            return jax.lax.dynamic_slice_in_dim(x, index * chunk, size, axis=1)

        obs = jax.tree.map(lambda x: cut(x, chunk + 1), data.obs)
        steps = data._replace(obs=None)
        return jax.tree.map(lambda x: cut(x, chunk), steps)._replace(obs=obs)

    return Pieces((lived + chunk - 1) // chunk, pick)
