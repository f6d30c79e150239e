"""The advantage actor-critic's objective."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.errors import UsageError
from dmaml_jax.rl.objectives import (
    Objective,
    Reduction,
    check_reduction,
    clipped_term,
    filled,
    normalize,
    outer_term,
    step_weights,
    steps_of,
)
from dmaml_jax.rl.returns import gae
from dmaml_jax.rl.surrogates import Surrogate, score_function
from dmaml_jax.types import Params, Policy, Trajectory

_SCORE_FUNCTION = Surrogate(score_function)


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
        policy: π_θ together with its value V_θ.
        discount: γ, of rewards and of the bootstrapped value.
        gae_lambda: λ of the advantages; 1 has the least bias, 0 the least variance.
        value_coefficient: c_v, the weight of the critic's loss.
        entropy_coefficient: c_e, the weight of the entropy, which is summed over steps
            with the policy's weights.
        surrogate: what the inner step differentiates of the policy; it takes
            advantages.
        normalize_advantages: whether advantages are shifted and scaled to mean 0 and
            standard deviation 1 over the living steps of the task.
        step_reduction: "sum" adds up the steps and takes the mean over trajectories;
            "mean" is over all living steps.
        discount_weighting: whether step t of the policy's terms is weighed by γ^t.

    Returns:
        The objective.

    Raises:
        UsageError: the policy has no value, the surrogate takes rewards, or
            `step_reduction` is neither of the two.
    """
    check_reduction(step_reduction)
    value = _value_of(policy, surrogate)

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
            weights=step_weights(mask, step_reduction, discount_weighting, discount),
            value_targets=targets,
            value_weights=mask / jnp.sum(mask),
        )

    # Objective (I), which LVC and Loaded DiCE estimate, does not look at the value
    # head: they take the advantages as given.
    given = surrogate.value is not score_function

    def with_critic(
        term: Callable[..., jax.Array],
    ) -> Callable[..., jax.Array]:
        def loss(params: Params, data: Trajectory, *clip: Any) -> jax.Array:
            if given:
                data = jax.lax.stop_gradient(data)
            assert data.weights is not None
            assert data.value_weights is not None
            assert data.value_targets is not None
            action_params = policy.apply(params, steps_of(data.obs))
            distribution = policy.distribution
            log_probs = distribution.log_prob(action_params, data.actions)
            log_probs = jnp.where(data.alive, log_probs, 0)
            error = value(params, steps_of(data.obs)) - data.value_targets
            squares = jnp.sum(data.value_weights * error**2) / 2
            entropy = jnp.sum(data.weights * distribution.entropy(action_params))
            return (
                value_coefficient * squares
                - term(log_probs, data, *clip)
                - entropy_coefficient * entropy
            )

        return loss

    return Objective(
        advantages,
        with_critic(lambda log_probs, data: surrogate.value(log_probs, *filled(data))),
        with_critic(outer_term),
        with_critic(clipped_term),
        surrogate.additive,
    )


def _value_of(
    policy: Policy, surrogate: Surrogate
) -> Callable[[Params, jax.Array], jax.Array]:
    """The policy's value function, if the two can make an actor-critic."""
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
    return policy.value
