"""Objectives: advantages and losses of K trajectories of one task."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.errors import UsageError
from dmaml_jax.rl.baselines import leave_one_out_time_mean
from dmaml_jax.rl.returns import discount_powers, discounted_returns, gae
from dmaml_jax.rl.surrogates import Surrogate, score_function
from dmaml_jax.types import Params, Policy, Trajectory

Baseline = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
Reduction = Literal["sum", "mean"]


_SCORE_FUNCTION = Surrogate(score_function)


class Objective(NamedTuple):
    """How trajectories become a loss.

    Attributes:
        advantages: `(θ, data) -> data` with `advantages` and `weights` filled in.
        inner_loss: `(θ, data) -> −Ĵ` as a surrogate, a sum over steps; what it
            promises of its second derivative is the surrogate's matter.
        outer_loss: the same for steps that are not differentiated again.
        additive: whether both losses are sums of terms that look at one step each.
    """

    advantages: Callable[[Params, Trajectory], Trajectory]
    inner_loss: Callable[[Params, Trajectory], jax.Array]
    outer_loss: Callable[[Params, Trajectory], jax.Array]
    additive: bool


def policy_gradient(
    policy: Policy,
    *,
    discount: float | jax.Array,
    surrogate: Surrogate = _SCORE_FUNCTION,
    baseline: Baseline | None = leave_one_out_time_mean,
    normalize_advantages: bool = True,
    step_reduction: Reduction = "sum",
    discount_weighting: bool = False,
) -> Objective:
    r"""REINFORCE: −Ĵ = −(1/K) Σ_k Σ_t log π_θ(a|s) A_{k,t}.

    A is the return to go minus the baseline, normalised over the living steps of the
    task. Unbiased estimates of ∇J need `normalize_advantages=False`,
    `discount_weighting=True` (the weight γ^t on step t) and the sum.

    The surrogate is that of the inner step, the one that is differentiated twice; the
    outer step takes the score function, as all of them have the same gradient. One of
    rewards (DiCE) has no place for advantages: its inner step takes raw rewards with
    their γ^t, whatever the options say of the outer step.

    Args:
        policy: π_θ.
        discount: γ.
        surrogate: of the inner step.
        baseline: `(returns, alive, obs) -> [K, H]`, or None.
        normalize_advantages: to mean 0 and standard deviation 1 over living steps.
        step_reduction: "sum" over the steps and mean over the trajectories, which is
            ∇J as the paper writes it; "mean" over all living steps, about H times
            smaller.
        discount_weighting: whether step t weighs γ^t.

    Returns:
        The objective.

    Raises:
        UsageError: `step_reduction` is neither of the two.
    """
    _check(step_reduction)

    def advantages(params: Params, data: Trajectory) -> Trajectory:
        del params  # no value head
        mask = data.alive.astype(data.rewards.dtype)
        values = jax.vmap(discounted_returns, in_axes=(0, None))(data.rewards, discount)
        if baseline is not None:
            values = values - baseline(values, data.alive, data.obs)
        if normalize_advantages:
            values = normalize(values, mask)
        weights = _weights(mask, step_reduction, discount_weighting, discount)
        return data._replace(advantages=values * mask, weights=weights)

    def outer_loss(params: Params, data: Trajectory) -> jax.Array:
        advantages, weights = _filled(data)
        log_probs = trajectory_log_probs(policy, params, data)
        return -score_function(log_probs, advantages, weights)

    def inner_loss(params: Params, data: Trajectory) -> jax.Array:
        signal, weights = _filled(data)
        if surrogate.of_rewards:
            signal = data.rewards
            if not discount_weighting:
                powers = discount_powers(discount, signal.shape[1], signal.dtype)
                weights = weights * powers
        log_probs = trajectory_log_probs(policy, params, data)
        return -surrogate.value(log_probs, signal, weights)

    return Objective(advantages, inner_loss, outer_loss, surrogate.additive)


def actor_critic(
    policy: Policy,
    *,
    discount: float | jax.Array,
    gae_lambda: float | jax.Array = 0.99,
    value_coefficient: float | jax.Array = 0.5,
    entropy_coefficient: float | jax.Array = 0.0,
    surrogate: Surrogate = _SCORE_FUNCTION,
    normalize_advantages: bool = True,
    step_reduction: Reduction = "sum",
    discount_weighting: bool = False,
) -> Objective:
    r"""Advantage actor-critic: −Ĵ + c_v mean ½ (V_θ(s_t) − V̂_t)² − c_e Σ_t w_t H(π_t).

    A is GAE(λ) with the value bootstrapped at truncations only, V̂_t = A_t + V(s_t).
    Both are functions of the θ that `advantages` is given: constants for the gradient
    of the loss, while the meta-gradient flows through them into the value head that the
    inner step started from. The critic's loss is a mean over living steps whatever the
    reduction, as its curvature grows with the number of steps.

    Args:
        policy: π_θ with a value.
        discount: γ.
        gae_lambda: λ; 1 has the least bias, 0 the least variance.
        value_coefficient: c_v.
        entropy_coefficient: c_e; the entropy has the policy's weights.
        surrogate: of the inner step's policy term; it takes advantages.
        normalize_advantages: to mean 0 and standard deviation 1 over living steps.
        step_reduction: "sum" over the steps and mean over the trajectories, or "mean"
            over all living steps.
        discount_weighting: whether step t of the policy's terms weighs γ^t.

    Returns:
        The objective.

    Raises:
        UsageError: the policy has no value, the surrogate takes rewards, or
            `step_reduction` is neither of the two.
    """
    _check(step_reduction)
    if policy.value is None:
        raise UsageError(
            "The actor-critic needs a policy with a value: pass "
            "Policy(init, apply, distribution, value), or use method pg."
        )
    if surrogate.of_rewards:
        raise UsageError(
            "The actor-critic's inner step has advantages, and DiCE takes raw rewards: "
            "choose score-function, lvc or loaded-dice, or method pg."
        )
    value = policy.value

    def advantages(params: Params, data: Trajectory) -> Trajectory:
        mask = data.alive.astype(data.rewards.dtype)
        values = value(params, data.obs)
        estimates = jax.vmap(gae, in_axes=(0, 0, 0, 0, None, None))(
            data.rewards, values, data.alive, data.terminated, discount, gae_lambda
        )
        targets = (estimates + values[:, :-1]) * mask
        if normalize_advantages:
            estimates = normalize(estimates, mask)
        return data._replace(
            advantages=estimates * mask,
            weights=_weights(mask, step_reduction, discount_weighting, discount),
            value_targets=targets,
            value_weights=mask / jnp.sum(mask),
        )

    # Objective (I), which LVC and Loaded DiCE estimate, does not look at the value
    # head: they take the advantages as given.
    given = surrogate.value is not score_function

    def with_critic(
        term: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
    ) -> Callable[[Params, Trajectory], jax.Array]:
        def loss(params: Params, data: Trajectory) -> jax.Array:
            if given:
                data = jax.lax.stop_gradient(data)
            signal, weights = _filled(data)
            assert data.value_weights is not None
            assert data.value_targets is not None
            action_params = policy.apply(params, data.obs[:, :-1])
            distribution = policy.distribution
            log_probs = distribution.log_prob(action_params, data.actions)
            log_probs = jnp.where(data.alive, log_probs, 0)
            error = value(params, data.obs[:, :-1]) - data.value_targets
            squares = jnp.sum(data.value_weights * error**2) / 2
            entropy = jnp.sum(weights * distribution.entropy(action_params))
            return (
                value_coefficient * squares
                - term(log_probs, signal, weights)
                - entropy_coefficient * entropy
            )

        return loss

    return Objective(
        advantages,
        with_critic(surrogate.value),
        with_critic(score_function),
        surrogate.additive,
    )


def _check(step_reduction: str) -> None:
    if step_reduction not in ("sum", "mean"):
        raise UsageError(f"step_reduction is {step_reduction!r}: choose sum or mean.")


def _weights(
    mask: jax.Array,
    step_reduction: Reduction,
    discount_weighting: bool,
    discount: float | jax.Array,
) -> jax.Array:
    """The share of each step in a policy's loss, `[K, H]`."""
    share = mask.shape[0] if step_reduction == "sum" else jnp.sum(mask)
    weights = mask / share
    if discount_weighting:
        weights = weights * discount_powers(discount, mask.shape[1], mask.dtype)
    return weights


def _filled(data: Trajectory) -> tuple[jax.Array, jax.Array]:
    assert data.advantages is not None, "call advantages(params, data) first"
    assert data.weights is not None
    return data.advantages, data.weights


def normalize(values: jax.Array, mask: jax.Array) -> jax.Array:
    """To mean 0 and standard deviation 1 over the entries where `mask` is 1.

    Values that are equal but for rounding become 0: what is left of them after
    centring (twice, as the first mean is rounded too) is not blown up.
    """
    count = jnp.sum(mask)
    centred = values - jnp.sum(values * mask) / count
    centred = centred - jnp.sum(centred * mask) / count
    variance = jnp.sum(centred**2 * mask) / count
    rounding = jnp.finfo(values.dtype).eps ** 0.5 * jnp.max(jnp.abs(values) * mask)
    # The root of what is never 0: its derivative, for a value head, stays finite.
    return centred / jnp.sqrt(jnp.maximum(variance, jnp.maximum(rounding, 1e-8) ** 2))


def trajectory_log_probs(policy: Policy, params: Params, data: Trajectory) -> jax.Array:
    """Log π_θ(a|s) of stored steps, 0 where not alive, `[K, H]`."""
    action_params = policy.apply(params, data.obs[:, :-1])
    log_probs = policy.distribution.log_prob(action_params, data.actions)
    return jnp.where(data.alive, log_probs, 0)


def mean_kl(policy: Policy, params: Params, data: Trajectory) -> jax.Array:
    r"""Mean of KL(π_old(·|s_t) ‖ π_θ(·|s_t)) over the living steps of stored data.

    Args:
        policy: π, whose action distribution has a divergence in closed form.
        params: θ.
        data: with the parameters of π_old's action distribution, as rollouts keep them.

    Returns:
        A scalar, differentiable in θ.

    Raises:
        UsageError: the action distribution has no divergence.
    """
    if policy.distribution.kl is None:
        raise UsageError(
            "This policy's action distribution has no kl: give its Distribution one, "
            "or choose an outer step that needs none."
        )
    new = policy.apply(params, data.obs[:, :-1])
    divergences = policy.distribution.kl(data.action_params, new)
    mask = data.alive.astype(divergences.dtype)
    return jnp.sum(divergences * mask) / jnp.sum(mask)
