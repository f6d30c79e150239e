"""Action distributions, as functions of their parameters."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.types import Distribution

Bound = float | np.ndarray | jax.Array

# Nodes of a Gauss-Hermite rule: with 32 the entropy of a squashed normal is right to
# 1e-3 up to a deviation of 2.5, and to 1e-6 up to 1.
_NODES = 32


class Normal(NamedTuple):
    """Parameters of a diagonal normal distribution.

    Attributes:
        mean: μ, `[…, A]`.
        log_std: log σ, `[…, A]`.
    """

    mean: jax.Array
    log_std: jax.Array


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
    return Distribution(_uniform, _sample, _log_prob, _entropy, kl=_kl)


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


def _kl(old: jax.Array, new: jax.Array) -> jax.Array:
    before, after = jax.nn.log_softmax(old), jax.nn.log_softmax(new)
    return jnp.sum(jnp.exp(before) * (before - after), axis=-1)


def diagonal_normal() -> Distribution:
    r"""Independent normal distributions over a vector of A numbers.

    π(a) = Π_j N(a_j; μ_j, σ_j²), without bounds: an environment with bounds of its own
    clips what it is given, and the clipping is then part of the environment.

    Returns:
        A `Distribution` whose parameters are a `Normal`.

    Example:
        >>> import jax.numpy as jnp
        >>> standard = Normal(jnp.zeros(2), jnp.zeros(2))
        >>> print(f"{diagonal_normal().log_prob(standard, jnp.zeros(2)):.4f}")
        -1.8379
    """
    return Distribution(
        _normal_noise,
        _normal_sample,
        _normal_log_prob,
        _normal_entropy,
        kl=_normal_kl,
    )


def clipped_normal(low: Bound, high: Bound) -> Distribution:
    r"""`diagonal_normal` whose samples are clipped on their way to the environment.

    What is stored is the sample before clipping, and `log_prob` is its density. So the
    score-function gradient stays unbiased: the policy's action is the unclipped one,
    and clipping belongs to the environment. The density is not that of the clipped
    action, which has none, its bounds being drawn with positive probability.

    Args:
        low: the least action, `[A]` or a number; it may be infinite.
        high: the greatest action, `[A]` or a number; it may be infinite.

    Returns:
        A `Distribution` whose parameters are a `Normal`.
    """
    return diagonal_normal()._replace(action=lambda sample: jnp.clip(sample, low, high))


def squashed_normal(low: Bound, high: Bound) -> Distribution:
    r"""Normal distributions squashed into (low, high) by a sigmoid.

    a = low + (high − low) s(z) with z ~ N(μ, σ²) and s(z) = 1/(1 + e^−z). The density
    of the action is that of z over the slope,

        log π(a) = Σ_j log N(z_j; μ_j, σ_j²) − log((high_j − low_j) s(z_j) s(−z_j)).

    z is what is stored, so nothing has to be inverted and nothing is lost where the
    sigmoid saturates. The slope does not depend on μ or σ: gradients and ratios of
    probabilities are those of z. The entropy has no closed form; its expectation of
    the slope is taken by a Gauss-Hermite rule.

    An entry whose range is not finite is not squashed: its action is z itself, which
    the environment may clip. One whose range is a single number is always that number.

    Args:
        low: the least action, `[A]` or a number.
        high: the greatest action, `[A]` or a number.

    Returns:
        A `Distribution` whose parameters are a `Normal`, of z.

    Example:
        >>> import jax.numpy as jnp
        >>> print(squashed_normal(0.0, 15.0).action(jnp.zeros(1)))
        [7.5]
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    low, high = np.broadcast_arrays(np.asarray(low), np.asarray(high))
    squashed = np.isfinite(low) & np.isfinite(high) & (low < high)
    # Where nothing is squashed, numbers that no logarithm or product trips over.
    least, most = np.where(squashed, low, 0.0), np.where(squashed, high, 1.0)

    def log_slope(sample: jax.Array) -> jax.Array:
        width = jnp.log(jnp.asarray(most - least, sample.dtype))
        slope = width + jax.nn.log_sigmoid(sample) + jax.nn.log_sigmoid(-sample)
        return jnp.where(squashed, slope, 0)

    def action(sample: jax.Array) -> jax.Array:
        start = jnp.asarray(least, sample.dtype)
        end = jnp.asarray(most, sample.dtype)
        inside = start + (end - start) * jax.nn.sigmoid(sample)
        fixed = jnp.where(low == high, jnp.asarray(low, sample.dtype), sample)
        # The sum may round to a number just beyond.
        return jnp.where(squashed, jnp.clip(inside, start, end), fixed)

    def log_prob(params: Normal, sample: jax.Array) -> jax.Array:
        return _normal_log_prob(params, sample) - jnp.sum(log_slope(sample), axis=-1)

    def entropy(params: Normal) -> jax.Array:
        std = jnp.exp(params.log_std)
        total = sum(
            jnp.asarray(weight, std.dtype) * log_slope(params.mean + std * float(node))
            for node, weight in zip(nodes, weights, strict=True)
        )
        return _normal_entropy(params) + jnp.sum(total, axis=-1)

    # Squashing is one to one, and a divergence does not see it.
    return Distribution(
        _normal_noise, _normal_sample, log_prob, entropy, action, _normal_kl
    )


def _normal_noise(key: jax.Array, params: Any, num: int) -> jax.Array:
    return jax.random.normal(key, (num, *params.mean.shape), dtype=params.mean.dtype)


def _normal_sample(params: Normal, noise: jax.Array) -> jax.Array:
    return params.mean + jnp.exp(params.log_std) * noise


def _normal_log_prob(params: Normal, sample: jax.Array) -> jax.Array:
    standard = (sample - params.mean) * jnp.exp(-params.log_std)
    constant = 0.5 * math.log(2 * math.pi)
    return jnp.sum(-0.5 * standard**2 - params.log_std - constant, axis=-1)


def _normal_entropy(params: Normal) -> jax.Array:
    return jnp.sum(params.log_std + 0.5 * math.log(2 * math.pi * math.e), axis=-1)


def _normal_kl(old: Normal, new: Normal) -> jax.Array:
    """Σ_j log(σ'_j/σ_j) + (σ_j² + (μ_j − μ'_j)²)/(2 σ'_j²) − ½."""
    ratio = jnp.exp(2 * (old.log_std - new.log_std))
    away = (old.mean - new.mean) * jnp.exp(-new.log_std)
    terms = new.log_std - old.log_std + (ratio + away**2 - 1) / 2
    return jnp.sum(terms, axis=-1)
