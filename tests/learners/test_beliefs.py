"""Beliefs: products of Gaussian factors, against closed forms and posteriors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.learners.beliefs import (
    Belief,
    believed,
    drawn,
    evidence,
    kl_to_prior,
    nothing,
    prior,
    product,
    together,
)


def some(key: int, num: int, size: int = 3) -> Belief:
    key_mean, key_variance = jax.random.split(jax.random.key(key))
    return Belief(
        jax.random.normal(key_mean, (num, size)),
        jax.random.uniform(key_variance, (num, size), minval=0.2, maxval=2.0),
    )


@pytest.mark.parametrize("num", [1, 4, 9])
def test_equal_factors_keep_their_mean_and_divide_the_variance(num: int):
    one = some(0, 1)
    factors = jax.tree.map(lambda leaf: jnp.tile(leaf, (num, 1)), one)
    belief = product(factors, jnp.ones(num, bool))
    np.testing.assert_allclose(belief.mean, one.mean[0], rtol=1e-12)
    np.testing.assert_allclose(belief.variance, one.variance[0] / num, rtol=1e-12)


def test_two_factors_by_hand():
    factors = Belief(jnp.array([[1.0], [4.0]]), jnp.array([[0.5], [0.25]]))
    belief = product(factors, jnp.ones(2, bool))
    # Precisions 2 and 4: variance 1/6, mean (2 · 1 + 4 · 4)/6.
    np.testing.assert_allclose(belief.variance, [1 / 6], rtol=1e-14)
    np.testing.assert_allclose(belief.mean, [3.0], rtol=1e-14)


def test_order_does_not_matter_and_masked_factors_do_not_count():
    factors = some(1, 7)
    mask = jnp.array([1, 0, 1, 1, 0, 1, 0], bool)
    belief = product(factors, mask)
    order = jnp.array([4, 2, 6, 0, 5, 1, 3])
    other = product(jax.tree.map(lambda leaf: leaf[order], factors), mask[order])
    only = product(jax.tree.map(lambda leaf: leaf[mask], factors), jnp.ones(4, bool))
    for found in (other, only):
        np.testing.assert_allclose(found.mean, belief.mean, rtol=1e-12)
        np.testing.assert_allclose(found.variance, belief.variance, rtol=1e-12)
    all_of_them = product(factors, jnp.ones(7, bool))
    assert np.abs(all_of_them.mean - belief.mean).min() > 1e-3


def test_an_empty_mask_leaves_the_prior_which_is_no_factor():
    factors = some(2, 3)
    belief = product(factors, jnp.zeros(3, bool))
    np.testing.assert_array_equal(belief.mean, prior(3).mean)
    np.testing.assert_array_equal(belief.variance, prior(3).variance)
    # One factor is the belief itself: with the prior among them it would be narrower.
    alone = product(factors, jnp.array([True, False, False]))
    np.testing.assert_allclose(alone.variance, factors.variance[0], rtol=1e-14)


def test_an_empty_mask_has_a_gradient_that_is_zero():
    factors = some(3, 2)

    def loss(factors: Belief) -> jax.Array:
        belief = product(factors, jnp.zeros(2, bool))
        return kl_to_prior(belief) + jnp.sum(drawn(jax.random.key(0), belief))

    gradient = jax.grad(loss)(factors)
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_array_equal(leaf, 0)


def test_evidence_adds_up_over_episodes():
    first, second = some(4, 5), some(5, 2)
    there = jnp.ones(5, bool), jnp.ones(2, bool)
    grown = together(evidence(first, there[0]), evidence(second, there[1]))
    both = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), first, second)
    whole = product(both, jnp.ones(7, bool))
    np.testing.assert_allclose(believed(grown).mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(believed(grown).variance, whole.variance, rtol=1e-12)
    started = together(nothing(3), evidence(first, there[0]))
    np.testing.assert_allclose(started.precision, evidence(first, there[0]).precision)


def test_exact_likelihoods_give_the_posterior_of_a_flat_prior():
    """x_n ~ N(z, s²): with the likelihoods as factors, μ = mean x and σ² = s²/N."""
    seen = jnp.array([0.3, -1.1, 2.4, 0.9])
    noise = 0.7
    factors = Belief(seen[:, None], jnp.full((4, 1), noise**2))
    belief = product(factors, jnp.ones(4, bool))
    np.testing.assert_allclose(belief.mean[0], jnp.mean(seen), rtol=1e-12)
    np.testing.assert_allclose(belief.variance[0], noise**2 / 4, rtol=1e-12)
    # The density of the product is that of the likelihoods up to a constant.
    z = jnp.linspace(-2, 2, 5)
    log_likelihood = -jnp.sum((seen[:, None] - z) ** 2, axis=0) / (2 * noise**2)
    log_belief = -((z - belief.mean[0]) ** 2) / (2 * belief.variance[0])
    np.testing.assert_allclose(np.ptp(log_belief - log_likelihood), 0, atol=1e-12)


def test_kl_is_the_closed_form_and_an_integral():
    belief = Belief(jnp.array([0.4, -1.3]), jnp.array([0.6, 2.2]))
    found = kl_to_prior(belief)
    by_hand = 0.5 * ((0.6 + 0.16 - 1 - np.log(0.6)) + (2.2 + 1.69 - 1 - np.log(2.2)))
    np.testing.assert_allclose(found, by_hand, rtol=1e-12)
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    total = 0.0
    for mean, variance in zip(belief.mean, belief.variance, strict=True):
        z = mean + np.sqrt(variance) * nodes
        log_ratio = -0.5 * np.log(variance) - 0.5 * nodes**2 + 0.5 * z**2
        total += np.sum(weights * log_ratio)
    np.testing.assert_allclose(found, total, rtol=1e-12)
    np.testing.assert_allclose(kl_to_prior(prior(4)), 0, atol=1e-15)


def test_samples_have_the_moments_of_the_belief():
    belief = Belief(jnp.array([1.5]), jnp.array([0.09]))
    keys = jax.random.split(jax.random.key(0), 20_000)
    samples = jax.vmap(lambda key: drawn(key, belief))(keys)
    np.testing.assert_allclose(jnp.mean(samples), 1.5, atol=4 * 0.3 / 141)
    np.testing.assert_allclose(jnp.std(samples), 0.3, rtol=0.02)
