"""Baselines: what is subtracted from returns before they weigh a gradient."""

import chex
import jax
import jax.numpy as jnp


def leave_one_out_time_mean(returns: jax.Array, alive: jax.Array) -> jax.Array:
    r"""Mean return of the *other* trajectories still alive at the same step.

    b_{k,t} = Σ_{j ≠ k} alive_{j,t} R_{j,t} / Σ_{j ≠ k} alive_{j,t}, and 0 where no
    other is alive. A mean that included trajectory k would scale the gradient by
    (K − 1)/K: with K = 1 nothing would be learned.

    Args:
        returns: R_{k,t}, `[K, H]`.
        alive: `[K, H]`.

    Returns:
        b_{k,t}, `[K, H]`.

    Example:
        >>> import jax.numpy as jnp
        >>> returns, alive = jnp.array([[1.0], [2.0], [6.0]]), jnp.ones((3, 1))
        >>> print(leave_one_out_time_mean(returns, alive > 0)[:, 0])
        [4.  3.5 1.5]
    """
    chex.assert_rank([returns, alive], 2)
    chex.assert_equal_shape([returns, alive])
    mask = alive.astype(returns.dtype)
    others = jnp.sum(mask, axis=0) - mask
    # Sums of differences to the best one: equal returns cancel to the last bit, and
    # no rounding is left for a normalisation to blow up.
    best = jnp.max(jnp.where(alive, returns, -jnp.inf), axis=0)
    away = jnp.where(alive, returns - best, 0)
    total = jnp.sum(away, axis=0) - away
    return jnp.where(others > 0, best + total / jnp.maximum(others, 1), 0)
