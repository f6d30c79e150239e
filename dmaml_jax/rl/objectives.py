"""Objectives: how K trajectories of one task become a loss; what all of them share.

`policy_gradient` and `actor_critic` have a file each.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.errors import UsageError
from dmaml_jax.rl.returns import discount_powers
from dmaml_jax.rl.surrogates import clipped_ratio, lvc, score_function
from dmaml_jax.types import Params, Policy, Trajectory

Baseline = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
Reduction = Literal["sum", "mean"]


class Objective(NamedTuple):
    """How trajectories become a loss.

    Attributes:
        advantages: `(θ, data) -> data` with `advantages` and `weights` filled in.
        inner_loss: `(θ, data) -> −Ĵ` as a surrogate, a sum over steps; what its second
            derivative is worth depends on the surrogate.
        outer_loss: `(θ, data) -> −Ĵ` for steps that are not differentiated again.
        clipped_loss: `(θ, data, ε) -> −Ĵ`, the same of ratios that pay no further than
            1 ± ε.
        additive: whether the losses are sums of terms that look at one step each, so
            that they may be added up over pieces of the data.
    """

    advantages: Callable[[Params, Trajectory], Trajectory]
    inner_loss: Callable[[Params, Trajectory], jax.Array]
    outer_loss: Callable[[Params, Trajectory], jax.Array]
    clipped_loss: Callable[[Params, Trajectory, Any], jax.Array]
    additive: bool


def check_reduction(step_reduction: str) -> None:
    """Raise a UsageError unless the reduction over steps is one of the two."""
    if step_reduction not in ("sum", "mean"):
        raise UsageError(f"step_reduction is {step_reduction!r}: choose sum or mean.")


def step_weights(
    mask: jax.Array,
    step_reduction: Reduction,
    discount_weighting: bool,
    discount: float | jax.Array,
) -> jax.Array:
    """The share of each step in a policy's loss.

    Args:
        mask: 1 where a step was taken and 0 where not, `[K, H]`.
        step_reduction: "sum" divides by the K trajectories, "mean" by all living steps.
        discount_weighting: whether step t is weighed by γ^t as well.
        discount: γ, the discount per step.

    Returns:
        Weights, 0 where no step was taken, `[K, H]`.
    """
    share = mask.shape[0] if step_reduction == "sum" else jnp.sum(mask)
    weights = mask / share
    if discount_weighting:
        weights = weights * discount_powers(discount, mask.shape[1], mask.dtype)
    return weights


def filled(data: Trajectory) -> tuple[jax.Array, jax.Array]:
    """The advantages and weights of data that `advantages` has filled in.

    Where another policy collected the data, a step weighs by its ratio too.
    """
    assert data.advantages is not None, "call advantages(params, data) first"
    assert data.weights is not None
    if data.ratios is None:
        return data.advantages, data.weights
    return data.advantages, data.weights * data.ratios


def outer_term(log_probs: jax.Array, data: Trajectory) -> jax.Array:
    """What an outer loss takes of the policy, to be maximised.

    It is Σ w log π A, or Σ w (π/π_old) A on data of another policy, whose value can be
    compared between parameters.
    """
    term = score_function if data.ratios is None else lvc
    return term(log_probs, *filled(data))


def clipped_term(log_probs: jax.Array, data: Trajectory, clip: Any) -> jax.Array:
    """What a clipped loss takes of the policy, to be maximised."""
    # The ratios are in the term, so that the weights go without them.
    advantages, weights = filled(data._replace(ratios=None))
    return clipped_ratio(log_probs, data.log_probs, advantages, weights, clip)


def ratios(policy: Policy, params: Params, data: Trajectory) -> jax.Array:
    """π_θ(a|s)/π_old(a|s) of stored steps, 0 where not alive, `[K, H]`."""
    log_probs = trajectory_log_probs(policy, params, data)
    return jnp.where(data.alive, jnp.exp(log_probs - data.log_probs), 0)


def reweighed(policy: Policy, params: Params, data: Trajectory) -> Trajectory:
    """Stored data whose steps weigh by their ratios at θ."""
    # Constants, as advantages are to the policy's gradient: what a second derivative is
    # worth stays the surrogate's own business, whoever collected the data.
    return data._replace(ratios=jax.lax.stop_gradient(ratios(policy, params, data)))


def normalize(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Shift and scale to mean 0 and standard deviation 1 where `mask` is 1.

    Values that are equal but for rounding become 0: what is left of them after
    centring is not blown up.
    """
    count = jnp.sum(mask)
    centred = values - jnp.sum(values * mask) / count
    # Once more, as the first mean was rounded too.
    centred = centred - jnp.sum(centred * mask) / count
    variance = jnp.sum(centred**2 * mask) / count
    rounding = jnp.finfo(values.dtype).eps ** 0.5 * jnp.max(jnp.abs(values) * mask)
    # The root of what is never 0: its derivative, for a value head, stays finite.
    return centred / jnp.sqrt(jnp.maximum(variance, jnp.maximum(rounding, 1e-8) ** 2))


def steps_of(obs: Any) -> Any:
    """The observations before each step, without the last, `[K, H, …]`."""
    return jax.tree.map(lambda x: x[:, :-1], obs)


def trajectory_log_probs(policy: Policy, params: Params, data: Trajectory) -> jax.Array:
    """The log-probability log π_θ(a|s) of stored steps, 0 where not alive, `[K, H]`."""
    action_params = policy.apply(params, steps_of(data.obs))
    log_probs = policy.distribution.log_prob(action_params, data.actions)
    return jnp.where(data.alive, log_probs, 0)


def mean_kl(policy: Policy, params: Params, data: Trajectory) -> jax.Array:
    r"""Mean of KL(π_old(·|s_t) ‖ π_θ(·|s_t)) over the living steps of stored data.

    Args:
        policy: π, whose action distribution has a divergence in closed form.
        params: θ, whose policy is compared with π_old.
        data: trajectories with the parameters of π_old's action distribution, as
            rollouts keep them.

    Returns:
        A scalar, differentiable in θ.
    """
    assert policy.distribution.kl is not None
    new = policy.apply(params, steps_of(data.obs))
    divergences = policy.distribution.kl(data.action_params, new)
    mask = data.alive.astype(divergences.dtype)
    return jnp.sum(divergences * mask) / jnp.sum(mask)
