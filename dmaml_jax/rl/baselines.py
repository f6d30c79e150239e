"""Baselines: what is subtracted from returns before they weigh a gradient."""

from typing import Any

import chex
import jax
import jax.numpy as jnp


def leave_one_out_time_mean(
    returns: jax.Array, alive: jax.Array, obs: Any = None
) -> jax.Array:
    r"""Mean return of the *other* trajectories still alive at the same step.

    b_{k,t} = Σ_{j ≠ k} alive_{j,t} R_{j,t} / Σ_{j ≠ k} alive_{j,t}, and 0 where no
    other is alive. A mean that included trajectory k would scale the gradient by
    (K − 1)/K: with K = 1 nothing would be learned.

    Args:
        returns: the returns to go R_{k,t}, `[K, H]`.
        alive: whether step t of trajectory k was taken, `[K, H]`.
        obs: not used; it is there because other baselines take it.

    Returns:
        b_{k,t}, `[K, H]`.

    Example:
        >>> import jax.numpy as jnp
        >>> returns, alive = jnp.array([[1.0], [2.0], [6.0]]), jnp.ones((3, 1))
        >>> print(leave_one_out_time_mean(returns, alive > 0)[:, 0])
        [4.  3.5 1.5]
    """
    del obs
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


def linear_features(
    returns: jax.Array, alive: jax.Array, obs: Any, ridge: float = 1e-5
) -> jax.Array:
    r"""Least squares of the returns on features of state and time (Duan et al. 2016).

    b = x(s, t)ᵀ w with features x = (s, s², t, t², t³, 1), time in hundreds of steps,
    and w = argmin Σ_alive (xᵀw − R)²/n + λ Σ_j (σ_j w_j)². Features are first divided
    by their root mean square σ_j, so that the ridge λ means the same for each, and the
    normal equations are solved by conjugate gradients: no call of LAPACK, so that it
    may run on any device and under any vmap. It is fitted to the very trajectories that
    it is subtracted from.

    Args:
        returns: the returns to go R_{k,t}, `[K, H]`.
        alive: whether step t of trajectory k was taken, `[K, H]`.
        obs: s_{k,t}, arrays of any shape or a pytree of them, one step longer,
            `[K, H + 1, …]`.
        ridge: λ, the weight of the penalty on w.

    Returns:
        b_{k,t}, 0 where not alive, `[K, H]`.
    """
    chex.assert_rank([returns, alive], 2)
    chex.assert_equal_shape([returns, alive])
    mask = alive.astype(returns.dtype)
    states = jnp.concatenate(
        [
            leaf[:, :-1].reshape(*returns.shape, -1).astype(returns.dtype)
            for leaf in jax.tree.leaves(obs)
        ],
        axis=2,
    )
    time = jnp.arange(returns.shape[1]).astype(returns.dtype)[:, None] / 100
    powers = jnp.concatenate([time, time**2, time**3, jnp.ones_like(time)], axis=1)
    powers = jnp.broadcast_to(powers, (*returns.shape, 4))
    features = jnp.concatenate([states, states**2, powers], axis=2) * mask[..., None]
    count = jnp.maximum(jnp.sum(mask), 1)
    scale = jnp.sqrt(jnp.sum(features**2, axis=(0, 1)) / count)
    features = features / jnp.where(scale > 0, scale, 1)
    gram = jnp.einsum("kti,ktj->ij", features, features, precision="highest") / count
    moments = jnp.einsum("kti,kt->i", features, returns, precision="highest") / count

    def normal(weights: jax.Array) -> jax.Array:
        return jnp.dot(gram, weights, precision="highest") + ridge * weights

    weights, _ = jax.scipy.sparse.linalg.cg(
        normal,
        moments,
        tol=float(jnp.finfo(returns.dtype).eps),
        maxiter=10 * len(moments),
    )
    return jnp.dot(features, weights, precision="highest")
