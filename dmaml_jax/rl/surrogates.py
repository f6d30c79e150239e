"""Surrogates: scalars whose derivatives estimate those of the expected return.

With g_t = ∇log π(a_t|s_t) and Q_t the return to go, the Hessian of J is
H1 + H2 + H12 + H12ᵀ, where H1 = E Σ γ^t g_t g_tᵀ Q_t, H2 = E Σ γ^t ∇²log π_t Q_t and
H12 = E Σ γ^t g_t (∇Q_t)ᵀ. The surrogates here have the same gradient, an estimate of
∇J; they differ in which of these terms their second derivative estimates.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from dmaml_jax.rl.returns import Scalar, discount_powers


class Surrogate(NamedTuple):
    """A surrogate, and what an objective has to know of it.

    Attributes:
        value: `(log_probs, signal, weights) -> ` a scalar to be maximised, each
            argument `[K, H]`.
        of_rewards: whether the signal is r_t, with γ^t in the weights; else it is A_t.
        additive: whether it is a sum of terms that look at one step each, so that
            gradients may be added up piece by piece.
    """

    value: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    of_rewards: bool = False
    additive: bool = True


def score_function(
    log_probs: jax.Array, advantages: jax.Array, weights: jax.Array
) -> jax.Array:
    r"""The score-function surrogate, Σ_k Σ_t w_{k,t} log π_θ(a|s) A_{k,t}.

    Its gradient in θ with A given is the policy-gradient estimate of ∇J (Williams
    1992). Its second derivative estimates H2 only: it is the surrogate of the MAML
    paper's code, exact for what an agent really computes when the score term of SG-MRL
    is added.

    The advantages are *not* stop-gradiented here: for a policy's gradient they are
    arguments, while the meta-gradient flows through them into a value head.

    Args:
        log_probs: log π_θ(a|s), `[K, H]`.
        advantages: A_{k,t}, `[K, H]`.
        weights: the share of each step, 0 where not alive, `[K, H]`.

    Returns:
        A scalar to be maximised.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> print(score_function(-one, 2 * one, one / 4))
        -0.5
    """
    _check(log_probs, advantages, weights)
    return jnp.sum(weights * log_probs * advantages)


def lvc(log_probs: jax.Array, advantages: jax.Array, weights: jax.Array) -> jax.Array:
    r"""Low-variance curvature, Σ_k Σ_t w_{k,t} □(log π_θ(a|s)) A_{k,t}.

    □(x) = exp(x − sg(x)) has value 1 and gradient ∇x. The second derivative estimates
    H1 + H2 (Rothfuss et al. 2019, ProMP): of the Hessian's terms those that do not ask
    how the return to go depends on θ.

    Args:
        log_probs: log π_θ(a|s), `[K, H]`.
        advantages: A_{k,t}, `[K, H]`.
        weights: the share of each step, 0 where not alive, `[K, H]`.

    Returns:
        A scalar to be maximised.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> print(jax.hessian(lambda x: lvc(x * one, 2 * one, one))(0.5))
        2.0
    """
    _check(log_probs, advantages, weights)
    return jnp.sum(weights * _box(log_probs) * advantages)


def dice(log_probs: jax.Array, rewards: jax.Array, weights: jax.Array) -> jax.Array:
    r"""DiCE, Σ_k Σ_t w_{k,t} □(Σ_{j ≤ t} log π_θ(a_j|s_j)) r_{k,t}.

    The second derivative estimates the whole Hessian of J, as every further one does
    its tensor (Foerster et al. 2018). It takes rewards, not advantages: a baseline
    turns it into `loaded_dice`.

    Args:
        log_probs: log π_θ(a|s), 0 where not alive, `[K, H]`.
        rewards: r_{k,t}, `[K, H]`.
        weights: γ^t/K, 0 where not alive, `[K, H]`.

    Returns:
        A scalar to be maximised.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> one = jnp.ones((1, 2))
        >>> print(jax.hessian(lambda x: dice(x * one, one, one))(0.5))
        5.0
    """
    _check(log_probs, rewards, weights)
    return jnp.sum(weights * _box(jnp.cumsum(log_probs, axis=1)) * rewards)


def loaded_dice(
    log_probs: jax.Array,
    advantages: jax.Array,
    weights: jax.Array,
    *,
    decay: Scalar = 1.0,
) -> jax.Array:
    r"""Loaded DiCE, Σ_k Σ_t w_{k,t} A_{k,t} (□(W_t) − □(W_t − log π_θ(a_t|s_t))).

    W_t = λ W_{t−1} + log π_θ(a_t|s_t) (Farquhar, Whiteson and Foerster 2019). At λ = 1
    the second derivative estimates the whole Hessian, with any baseline in A; at λ = 0
    it is that of `lvc`. Its own value is 0.

    Args:
        log_probs: log π_θ(a|s), 0 where not alive, `[K, H]`.
        advantages: A_{k,t}, `[K, H]`.
        weights: the share of each step, 0 where not alive, `[K, H]`.
        decay: λ, how far back the dependencies of a reward reach: less of it is less
            variance and more bias of the second derivative.

    Returns:
        A scalar to be maximised.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> one = jnp.ones((1, 2))
        >>> print(jax.hessian(lambda x: loaded_dice(x * one, one, one))(0.5))
        4.0
    """
    _check(log_probs, advantages, weights)
    horizon = log_probs.shape[1]
    ahead = jnp.arange(horizon)[:, None] - jnp.arange(horizon)[None, :]
    powers = discount_powers(decay, horizon, log_probs.dtype)
    matrix = jnp.where(ahead >= 0, powers[jnp.maximum(ahead, 0)], 0)
    upto = jnp.einsum("th,kh->kt", matrix, log_probs, precision="highest")
    return jnp.sum(weights * advantages * (_box(upto) - _box(upto - log_probs)))


def clipped_ratio(
    log_probs: jax.Array,
    old_log_probs: jax.Array,
    advantages: jax.Array,
    weights: jax.Array,
    clip: Scalar,
) -> jax.Array:
    r"""The clipped ratio, Σ_k Σ_t w_{k,t} min(r A, clip(r, 1 − ε, 1 + ε) A).

    r = π_θ(a|s)/π_old(a|s). It is PPO's (Schulman et al. 2017): a step that has gained
    as much as the clip allows has no gradient, and one that has lost still has its own.

    Args:
        log_probs: log π_θ(a|s), `[K, H]`.
        old_log_probs: log π_old(a|s) of the policy that collected the data, `[K, H]`.
        advantages: A_{k,t}, `[K, H]`.
        weights: the share of each step, 0 where not alive, `[K, H]`.
        clip: ε, how far from 1 a ratio r still pays.

    Returns:
        A scalar to be maximised.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> print(clipped_ratio(one, 0 * one, 2 * one, one, 0.25))
        2.5
    """
    _check(log_probs, advantages, weights)
    ratios = jnp.exp(log_probs - old_log_probs)
    clipped = jnp.clip(ratios, 1 - clip, 1 + clip)
    return jnp.sum(weights * jnp.minimum(ratios * advantages, clipped * advantages))


def surrogate(name: str, decay: Scalar = 1.0) -> Surrogate:
    """The surrogate of a name: score-function, lvc, dice or loaded-dice.

    Args:
        name: one of these four names.
        decay: λ, which loaded-dice alone takes.

    Raises:
        KeyError: there is no such surrogate.
    """
    return {
        "score-function": Surrogate(score_function),
        "lvc": Surrogate(lvc),
        "dice": Surrogate(dice, of_rewards=True, additive=False),
        "loaded-dice": Surrogate(partial(loaded_dice, decay=decay), additive=False),
    }[name]


def _box(x: jax.Array) -> jax.Array:
    """□(x): value 1, gradient ∇x."""
    # Without the stop the value would be exp(0) = 1 with no gradient at all.
    return jnp.exp(x - jax.lax.stop_gradient(x))


def _check(log_probs: jax.Array, signal: jax.Array, weights: jax.Array) -> None:
    chex.assert_rank([log_probs, signal, weights], 2)
    chex.assert_equal_shape([log_probs, signal, weights])
