"""What an agent believes of a task's latent variable z, by what it met (PEARL).

Every transition that was met is a Gaussian factor of the belief, and the belief is
their product (Rakelly et al. 2019, section 4.1):

    q(z|c_1 … c_N) ∝ Π_n N(z; μ_n, σ_n²),   1/σ² = Σ_n 1/σ_n²,   μ = σ² Σ_n μ_n/σ_n².

The order of the transitions does not matter. The prior N(0, I) is what is believed
while nothing has been met. It is none of the factors, as in the published code: one
factor already replaces it.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class Belief(NamedTuple):
    """A diagonal normal distribution of z, or several of them on leading axes.

    Attributes:
        mean: μ, `[…, Z]`.
        variance: σ², `[…, Z]`.
    """

    mean: jax.Array
    variance: jax.Array


class Evidence(NamedTuple):
    """What factors add up to, so that a belief can grow from episode to episode.

    Attributes:
        precision: Σ_n 1/σ_n², `[Z]`; 0 where there is no factor.
        weighted: Σ_n μ_n/σ_n², `[Z]`.
    """

    precision: jax.Array
    weighted: jax.Array


def prior(size: int) -> Belief:
    """N(0, I) of `size` numbers, what is believed before anything is met.

    Example:
        >>> print(*prior(2))
        [0. 0.] [1. 1.]
    """
    return Belief(jnp.zeros(size), jnp.ones(size))


def nothing(size: int) -> Evidence:
    """The evidence of no factor at all."""
    return Evidence(jnp.zeros(size), jnp.zeros(size))


def evidence(factors: Belief, mask: jax.Array) -> Evidence:
    """What factors add up to.

    Args:
        factors: the Gaussian factors of N transitions, `[N, Z]`.
        mask: which of the transitions there are, `[N]`; the others add nothing, so that
            the number of transitions is a value and no shape.

    Returns:
        The sums.
    """
    chex.assert_shape([factors.mean, factors.variance], (*mask.shape, None))
    share = mask[:, None].astype(factors.mean.dtype) / factors.variance
    return Evidence(jnp.sum(share, axis=0), jnp.sum(share * factors.mean, axis=0))


def together(one: Evidence, other: Evidence) -> Evidence:
    """The evidence of the factors of both."""
    return Evidence(one.precision + other.precision, one.weighted + other.weighted)


def believed(found: Evidence) -> Belief:
    """The product of the factors in some evidence, the prior where there is none."""
    # Every factor has a precision above 0. The division is by 1 where there is none,
    # and so has a derivative that is a number.
    precision = jnp.where(found.precision > 0, found.precision, 1)
    return Belief(found.weighted / precision, 1 / precision)


def product(factors: Belief, mask: jax.Array) -> Belief:
    """The belief of some factors.

    Args:
        factors: the Gaussian factors of N transitions, `[N, Z]`.
        mask: which of them there are, `[N]`.

    Returns:
        Their product, `[Z]`; the prior where the mask is empty.

    Example:
        >>> import jax.numpy as jnp
        >>> two = Belief(jnp.array([[1.0], [3.0]]), jnp.array([[0.5], [0.5]]))
        >>> belief = product(two, jnp.array([True, True]))
        >>> print(belief.mean, belief.variance)
        [2.] [0.25]
    """
    return believed(evidence(factors, mask))


def kl_to_prior(belief: Belief) -> jax.Array:
    """KL(q ‖ N(0, I)) = ½ Σ_j (σ_j² + μ_j² − 1 − log σ_j²), summed over z's entries."""
    variance = belief.variance
    return 0.5 * jnp.sum(variance + belief.mean**2 - 1 - jnp.log(variance), axis=-1)


def drawn(key: jax.Array, belief: Belief) -> jax.Array:
    """A sample μ + σ ε of z, ε ~ N(0, I); differentiable in the belief, `[Z]`."""
    noise = jax.random.normal(key, belief.mean.shape, belief.mean.dtype)
    return belief.mean + jnp.sqrt(belief.variance) * noise
