"""REINFORCE with a baseline: the policy gradient's objective."""

from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.rl.baselines import leave_one_out_time_mean
from dmaml_jax.rl.objectives import (
    Baseline,
    Objective,
    Reduction,
    check_reduction,
    clipped_term,
    filled,
    normalize,
    outer_term,
    step_weights,
    trajectory_log_probs,
)
from dmaml_jax.rl.returns import discount_powers, discounted_returns
from dmaml_jax.rl.surrogates import Surrogate, score_function
from dmaml_jax.types import Params, Policy, Trajectory

_SCORE_FUNCTION = Surrogate(score_function)


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
        policy: π_θ, whose log-probabilities are weighed.
        discount: γ, of the return to go.
        surrogate: what the inner step differentiates.
        baseline: `(returns, alive, obs) -> [K, H]`, what is subtracted from the return
            to go; None subtracts nothing.
        normalize_advantages: whether advantages are shifted and scaled to mean 0 and
            standard deviation 1 over the living steps of the task.
        step_reduction: "sum" adds up the steps and takes the mean over trajectories,
            which is ∇J as the paper writes it; "mean" is over all living steps, about H
            times smaller.
        discount_weighting: whether step t is weighed by γ^t.

    Returns:
        The objective.

    Raises:
        UsageError: `step_reduction` is neither of the two.
    """
    check_reduction(step_reduction)

    def advantages(params: Params, data: Trajectory) -> Trajectory:
        del params  # no value head
        mask = data.alive.astype(data.rewards.dtype)
        values = jax.vmap(discounted_returns, in_axes=(0, None))(data.rewards, discount)
        if baseline is not None:
            values = values - baseline(values, data.alive, data.obs)
        if normalize_advantages:
            values = normalize(values, mask)
        weights = step_weights(mask, step_reduction, discount_weighting, discount)
        return data._replace(advantages=values * mask, weights=weights)

    def outer_loss(params: Params, data: Trajectory) -> jax.Array:
        return -outer_term(trajectory_log_probs(policy, params, data), data)

    def clipped_loss(params: Params, data: Trajectory, clip: Any) -> jax.Array:
        return -clipped_term(trajectory_log_probs(policy, params, data), data, clip)

    def of_rewards(data: Trajectory) -> tuple[jax.Array, jax.Array]:
        _, weights = filled(data._replace(ratios=None))
        if not discount_weighting:
            horizon = data.rewards.shape[1]
            weights = weights * discount_powers(discount, horizon, weights.dtype)
        if data.ratios is not None:
            # A reward is as likely as all the actions up to it.
            weights = weights * jnp.cumprod(data.ratios, axis=1)
        return data.rewards, weights

    def inner_loss(params: Params, data: Trajectory) -> jax.Array:
        signal, weights = of_rewards(data) if surrogate.of_rewards else filled(data)
        log_probs = trajectory_log_probs(policy, params, data)
        return -surrogate.value(log_probs, signal, weights)

    return Objective(
        advantages, inner_loss, outer_loss, clipped_loss, surrogate.additive
    )
