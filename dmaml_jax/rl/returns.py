"""Returns and advantages of one trajectory; `jax.vmap` for more."""

import chex
import jax
import jax.numpy as jnp

Scalar = float | jax.Array


def discounted_returns(rewards: jax.Array, discount: Scalar) -> jax.Array:
    r"""Return to go, R_t = Σ_{k ≥ t} γ^{k−t} r_k.

    Computed as one product with the triangular matrix of the powers of γ: no loop,
    so it costs a GPU one launch instead of H.

    Args:
        rewards: r_t, 0 after the end, `[H]`.
        discount: γ, the discount per step.

    Returns:
        R_t, `[H]`.

    Example:
        >>> import jax.numpy as jnp
        >>> print(discounted_returns(jnp.array([1.0, 1.0, 1.0]), 0.5))
        [1.75 1.5  1.  ]
    """
    chex.assert_rank(rewards, 1)
    steps = jnp.arange(rewards.shape[0])
    ahead = steps[None, :] - steps[:, None]
    powers = discount_powers(discount, rewards.shape[0], rewards.dtype)
    matrix = jnp.where(ahead >= 0, powers[jnp.maximum(ahead, 0)], 0)
    return jnp.dot(matrix, rewards, precision=jax.lax.Precision.HIGHEST)


def discount_powers(discount: Scalar, num: int, dtype: jnp.dtype) -> jax.Array:
    """γ⁰ … γ^(num−1), differentiable in γ at 0 too, `[num]`."""
    factors = jnp.full((num,), jnp.asarray(discount, dtype)).at[0].set(1)
    return jnp.cumprod(factors)


def gae(
    rewards: jax.Array,
    values: jax.Array,
    alive: jax.Array,
    terminated: jax.Array,
    discount: Scalar,
    gae_lambda: Scalar,
) -> jax.Array:
    r"""Generalised advantage estimation (Schulman et al. 2016, Eq. 16).

    δ_t = r_t + γ V(s_{t+1}) (1 − terminated_t) − V(s_t);
    A_t = δ_t + γλ (1 − last_t) A_{t+1}.

    The value is bootstrapped where the episode was cut (horizon, time limit) and is 0
    where it terminated. As δ is 0 after the end, the recursion is the return to go of
    δ at the discount γλ.

    Args:
        rewards: the reward r_t of each step, `[H]`.
        values: V(s_0) … V(s_H), `[H + 1]`.
        alive: whether step t was taken, `[H]`.
        terminated: whether step t ended the episode by itself, `[H]`.
        discount: γ, the discount per step.
        gae_lambda: λ; 0 is the one-step error, 1 the return minus the value.

    Returns:
        A_t, 0 where not alive, `[H]`.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones(1)
        >>> print(gae(one, jnp.array([0.0, 2.0]), one > 0, one < 0, 0.5, 1.0))
        [2.]
    """
    chex.assert_rank([rewards, values, alive, terminated], 1)
    chex.assert_equal_shape([rewards, values[1:], alive, terminated])
    bootstrap = jnp.where(terminated, 0, values[1:])
    delta = rewards + discount * bootstrap - values[:-1]
    return discounted_returns(jnp.where(alive, delta, 0), discount * gae_lambda)
