"""Action distributions, as functions of their parameters."""

import jax
import jax.numpy as jnp

from dmaml_jax.types import Distribution


def categorical() -> Distribution:
    r"""Categorical distribution over the last axis of logits.

    π(a) = exp(l_a) / Σ_b exp(l_b). A sample inverts the distribution function at one
    uniform number, a = #{b : Σ_{c ≤ b} π(c) ≤ u}, which costs one random number
    where Gumbel's trick costs one per action.

    Returns:
        A `Distribution` whose parameters are logits `[…, A]`.

    Example:
        >>> import jax.numpy as jnp
        >>> print(categorical().sample(jnp.log(jnp.array([0.25, 0.75])), 0.3))
        1
    """
    return Distribution(_uniform, _sample, _log_prob, _entropy)


def _uniform(key: jax.Array, logits: jax.Array, num: int) -> jax.Array:
    return jax.random.uniform(key, (num, *logits.shape[:-1]), dtype=logits.dtype)


def _sample(logits: jax.Array, uniform: jax.Array) -> jax.Array:
    cumulated = jnp.cumsum(jax.nn.softmax(logits), axis=-1)
    # Rounding may leave the sum off 1, and the share beyond it to no action.
    threshold = jnp.expand_dims(uniform, -1) * cumulated[..., -1:]
    return jnp.sum(cumulated[..., :-1] <= threshold, axis=-1, dtype=jnp.int32)


def _log_prob(logits: jax.Array, action: jax.Array) -> jax.Array:
    # A product with a one-hot vector: its derivatives are products too, where a
    # gather's would be scatters.
    chosen = jax.nn.one_hot(action, logits.shape[-1], dtype=logits.dtype)
    return jnp.sum(chosen * jax.nn.log_softmax(logits), axis=-1)


def _entropy(logits: jax.Array) -> jax.Array:
    log_probs = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
