"""The objective of policies with a memory: PPO's, on whole trials."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp

from dmaml_jax.errors import UsageError
from dmaml_jax.rl.objectives import Objective, clipped_term, outer_term
from dmaml_jax.rl.returns import discounted_returns
from dmaml_jax.rl.trials import percepts
from dmaml_jax.types import Params, Policy, Trajectory

ValueLoss = Literal["squared", "huber"]


def trial_gae(
    rewards: jax.Array,
    values: jax.Array,
    alive: jax.Array,
    discount: float | jax.Array,
    gae_lambda: float | jax.Array,
) -> jax.Array:
    r"""Generalised advantages of a trial, which its episodes' ends do not interrupt.

    δ_t = r_t + γ V_{t+1} − V_t, with V = 0 after the trial's last step;
    A_t = Σ_{l ≥ 0} (γλ)^l δ_{t+l}.

    What a step teaches is worth something in later episodes, so the value after an
    episode's last step is that of the next one's start, and it is discounted like any
    other step.

    Args:
        rewards: r_t, 0 after the trial's end, `[T]`.
        values: V of the memory and the percept at each step, `[T]`.
        alive: whether step t was taken, `[T]`.
        discount: γ, the discount per step of the trial.
        gae_lambda: λ; 0 is the one-step error, 1 the return minus the value.

    Returns:
        A_t, 0 where not alive, `[T]`.

    Example:
        >>> import jax.numpy as jnp
        >>> both = jnp.array([True, True])
        >>> print(trial_gae(jnp.ones(2), jnp.array([0.0, 2.0]), both, 0.5, 1.0))
        [ 1.5 -1. ]
    """
    chex.assert_rank(rewards, 1)
    chex.assert_equal_shape([rewards, values, alive])
    lived = jnp.where(alive, values, 0)
    after = jnp.concatenate([lived[1:], jnp.zeros_like(lived[:1])])
    delta = jnp.where(alive, rewards + discount * after - lived, 0)
    return jnp.where(alive, discounted_returns(delta, discount * gae_lambda), 0)


def trial_objective(
    policy: Policy,
    *,
    discount: float | jax.Array,
    gae_lambda: float | jax.Array = 0.3,
    value_coefficient: float | jax.Array = 0.5,
    entropy_coefficient: float | jax.Array = 0.01,
    value_loss: ValueLoss = "huber",
) -> Objective:
    r"""−Ĵ + c_v Σ w ℓ(V − V̂) − c_e Σ w H(π), of policies with a memory on whole trials.

    The weight w of a living step is 1/(K T), where T = n H is the most steps of a
    trial. So the policy's part is 1/T of an unbiased estimate of the gradient of
    E Σ_t r_t over the trial (at γ = λ = 1), also where episodes end early.

    Log-probabilities and values are those of one pass over each trial from the memory
    with which it began, with the gradient through all of its steps.

    Args:
        policy: π_θ with `unroll`, which gives its values too.
        discount: γ, per step of the trial.
        gae_lambda: λ, as `trial_gae` takes it.
        value_coefficient: c_v, the weight of the critic's loss.
        entropy_coefficient: c_e, the weight of the entropy.
        value_loss: "squared" takes ℓ(x) = x²/2; "huber" goes on linearly where |x| > 1.

    Returns:
        The objective, of data `[K, T]`.

    Raises:
        UsageError: the policy has no pass over whole trials.
    """
    if policy.unroll is None:
        raise UsageError(
            "The policy has no memory whose trials can be gone through: pass "
            "Policy(..., memory=, shown=, unroll=), or choose a learner that adapts by "
            "gradient steps."
        )
    distribution = policy.distribution

    def advantages(params: Params, data: Trajectory) -> Trajectory:
        _, values = unrolled(policy, params, data)
        estimate = partial(trial_gae, discount=discount, gae_lambda=gae_lambda)
        estimates = jax.vmap(estimate)(data.rewards, values, data.alive)
        return data._replace(
            advantages=estimates,
            weights=data.alive.astype(estimates.dtype) / data.alive.size,
            value_targets=jnp.where(data.alive, estimates + values, 0),
        )

    def with_critic(term: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        def loss(params: Params, data: Trajectory, *clip: Any) -> jax.Array:
            assert data.weights is not None and data.value_targets is not None
            action_params, values = unrolled(policy, params, data)
            log_probs = distribution.log_prob(action_params, data.actions)
            log_probs = jnp.where(data.alive, log_probs, 0)
            error = jnp.where(data.alive, values - data.value_targets, 0)
            critic = jnp.sum(data.weights * _LOSSES[value_loss](error))
            entropy = jnp.sum(data.weights * distribution.entropy(action_params))
            return (
                value_coefficient * critic
                - term(log_probs, data, *clip)
                - entropy_coefficient * entropy
            )

        return loss

    outer_loss = with_critic(outer_term)
    return Objective(
        advantages, outer_loss, outer_loss, with_critic(clipped_term), additive=False
    )


def unrolled(policy: Policy, params: Params, data: Trajectory) -> tuple[Any, jax.Array]:
    """The action distributions' parameters and the values of stored trials.

    Args:
        policy: π, which has a memory.
        params: θ, with which the trials are gone through.
        data: whole trials, `[K, T, …]`.

    Returns:
        Parameters and values of every step, `[K, T, …]`; those after a trial's end mean
        nothing.
    """
    assert policy.unroll is not None
    shown = jax.vmap(partial(percepts, policy))(data)
    return jax.vmap(policy.unroll, in_axes=(None, 0))(params, shown)


def trial_log_probs(policy: Policy, params: Params, data: Trajectory) -> jax.Array:
    """The log-probability of stored steps given their history, `[K, T]`."""
    action_params, _ = unrolled(policy, params, data)
    log_probs = policy.distribution.log_prob(action_params, data.actions)
    return jnp.where(data.alive, log_probs, 0)


def trial_kl(policy: Policy, params: Params, data: Trajectory) -> jax.Array:
    """Mean of KL(π_old ‖ π_θ), given the history, over the living steps of trials."""
    assert policy.distribution.kl is not None
    new, _ = unrolled(policy, params, data)
    divergences = policy.distribution.kl(data.action_params, new)
    mask = data.alive.astype(divergences.dtype)
    return jnp.sum(divergences * mask) / jnp.sum(mask)


def _huber(error: jax.Array) -> jax.Array:
    size = jnp.abs(error)
    return jnp.where(size <= 1, error**2 / 2, size - 0.5)


_LOSSES: dict[ValueLoss, Callable[[jax.Array], jax.Array]] = {
    "squared": lambda error: error**2 / 2,
    "huber": _huber,
}
