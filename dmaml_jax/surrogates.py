"""Surrogates: scalars whose derivatives estimate those of the expected return."""

import chex
import jax
import jax.numpy as jnp


def score_function(
    log_probs: jax.Array, advantages: jax.Array, weights: jax.Array
) -> jax.Array:
    r"""The score-function surrogate, Σ_k Σ_t w_{k,t} log π_θ(a|s) A_{k,t}.

    Its gradient in θ with A given is the policy-gradient estimate of ∇J (Williams
    1992). Of the Hessian of J its second derivative estimates the part
    H2 = E Σ_t ∇² log π A only: it is the surrogate of the MAML paper's code, exact
    for what an agent really computes when the score term of SG-MRL is added.

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
    chex.assert_rank([log_probs, advantages, weights], 2)
    chex.assert_equal_shape([log_probs, advantages, weights])
    return jnp.sum(weights * log_probs * advantages)
