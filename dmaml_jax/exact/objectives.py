"""The objectives that meta-gradients are of, written out as functions of θ.

Their plain derivatives are the exact meta-gradients: no surrogate, no score term.
"""

from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.exact.data_sets import DataSets, Paths, trajectories
from dmaml_jax.rl.objectives import Objective, trajectory_log_probs
from dmaml_jax.rl.returns import discount_powers
from dmaml_jax.types import Params, Policy


def expected_return(
    policy: Policy, params: Params, mdp: Any, ways: Paths, *, discount: float
) -> jax.Array:
    """J(θ) = Σ_τ q(τ; θ) Σ_t γ^t r_t, over all trajectories; differentiable in θ."""
    every, dynamics = trajectories(mdp, ways)
    log_probs = trajectory_log_probs(policy, params, every)
    probabilities = dynamics * jnp.exp(jnp.sum(log_probs, axis=1))
    horizon = ways.actions.shape[1]
    return probabilities @ (
        every.rewards @ discount_powers(discount, horizon, dynamics.dtype)
    )


def objective_one(
    policy: Policy,
    params: Params,
    mdp: Any,
    ways: Paths,
    *,
    discount: float,
    inner_lr: float,
    num_inner_steps: int,
) -> jax.Array:
    """J^I(θ) = J(θ_N), θ_{j+1} = θ_j + α ∇J(θ_j): adaptation by the exact gradient."""

    def value(params: Params) -> jax.Array:
        return expected_return(policy, params, mdp, ways, discount=discount)

    for _ in range(num_inner_steps):
        ascent = jax.grad(value)(params)
        params = jax.tree.map(lambda p, g: p + inner_lr * g, params, ascent)
    return value(params)


def objective_two(
    policy: Policy,
    objective: Objective,
    params: Params,
    mdp: Any,
    ways: Paths,
    sets: DataSets,
    *,
    discount: float,
    inner_lr: float,
    num_inner_steps: int,
) -> jax.Array:
    """J^II(θ) = E_𝒟 J(θ_N): adaptation by the gradient of K sampled trajectories.

    The expectation is a sum over data sets, their probabilities written out as
    functions of θ, so that its plain derivative is the exact meta-gradient: no
    surrogate, no score term.
    """
    if num_inner_steps == 0:
        return expected_return(policy, params, mdp, ways, discount=discount)
    every, dynamics = trajectories(mdp, ways)

    def after(rows: jax.Array, orders: jax.Array) -> jax.Array:
        data = jax.tree.map(lambda leaf: leaf[rows], every)
        log_probs = trajectory_log_probs(policy, params, data)
        chance = orders * jnp.prod(dynamics[rows]) * jnp.exp(jnp.sum(log_probs))
        data = objective.advantages(params, data)
        descent = jax.grad(objective.inner_loss)(params, data)
        adapted = jax.tree.map(lambda p, g: p - inner_lr * g, params, descent)
        return chance * objective_two(
            policy,
            objective,
            adapted,
            mdp,
            ways,
            sets,
            discount=discount,
            inner_lr=inner_lr,
            num_inner_steps=num_inner_steps - 1,
        )

    return jnp.sum(jax.vmap(after)(jnp.asarray(sets.rows), jnp.asarray(sets.orders)))
