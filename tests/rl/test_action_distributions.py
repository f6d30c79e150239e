"""Action distributions by integration, enumeration and at their extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dmaml_jax.rl.action_distributions import (
    Normal,
    categorical,
    clipped_normal,
    diagonal_normal,
    squashed_normal,
)

CATEGORICAL = categorical()
LOGITS = np.array([[0.3, -1.2, 2.0, 0.0], [5.0, 1.0, -3.0, 1.0]])
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
ACTIONS = np.arange(4)


def test_sample_frequencies_are_the_probabilities():
    """Over a grid of uniform numbers, each frequency is exact to the grid's width."""
    grid = (np.arange(20_000) + 0.5) / 20_000
    for logits, expected in zip(LOGITS, PROBABILITIES, strict=True):
        actions = CATEGORICAL.sample(jnp.broadcast_to(logits, (20_000, 4)), grid)
        assert actions.dtype == jnp.int32
        frequencies = np.bincount(actions, minlength=4) / 20_000
        np.testing.assert_allclose(frequencies, expected, atol=1.01 / 20_000)


def test_log_prob_is_the_normalised_logit():
    log_probs = jax.vmap(CATEGORICAL.log_prob, in_axes=(None, 0), out_axes=1)(
        LOGITS, jnp.broadcast_to(ACTIONS[:, None], (4, 2))
    )
    np.testing.assert_allclose(np.exp(log_probs), PROBABILITIES, rtol=1e-12)
    shifted = CATEGORICAL.log_prob(LOGITS + 1e3, ACTIONS[:2])
    np.testing.assert_allclose(shifted, log_probs[[0, 1], [0, 1]], rtol=1e-10)


def test_entropy():
    expected = -np.sum(PROBABILITIES * np.log(PROBABILITIES), axis=1)
    np.testing.assert_allclose(CATEGORICAL.entropy(LOGITS), expected, rtol=1e-12)
    np.testing.assert_allclose(CATEGORICAL.entropy(jnp.zeros(8)), np.log(8))


def test_the_expected_score_is_zero():
    scores = jax.vmap(jax.grad(CATEGORICAL.log_prob), in_axes=(None, 0))
    for logits, probabilities in zip(LOGITS, PROBABILITIES, strict=True):
        score = scores(logits, ACTIONS)
        np.testing.assert_allclose(score, np.eye(4) - probabilities, atol=1e-14)
        np.testing.assert_allclose(probabilities @ score, np.zeros(4), atol=1e-14)


@pytest.mark.float32
def test_extreme_logits_and_uniforms_stay_in_range():
    top = jnp.nextafter(jnp.float32(1), jnp.float32(0))
    uniforms = jnp.array([0.0, 0.5, top])
    sample = jax.vmap(CATEGORICAL.sample, in_axes=(None, 0))
    spikes = 1e4 * jnp.eye(3)
    for certain in range(3):
        np.testing.assert_array_equal(sample(spikes[certain], uniforms), certain)
    # A thousand roundings in the sum of the probabilities: the last is still the last.
    many = sample(jnp.zeros(1000), uniforms)
    np.testing.assert_allclose(many, [0, 500, 999], atol=1)
    assert jnp.max(many) <= 999
    assert jnp.isfinite(CATEGORICAL.log_prob(spikes[0], jnp.int32(1)))
    assert CATEGORICAL.entropy(spikes[0]) == 0


def test_noise_is_uniform_and_its_beginning_does_not_depend_on_its_length():
    key, like = jax.random.key(0), jax.ShapeDtypeStruct((2, 4), jnp.float64)
    noise = CATEGORICAL.noise(key, like, 2000)
    assert noise.shape == (2000, 2) and noise.dtype == jnp.float64
    assert jnp.min(noise) >= 0 and jnp.max(noise) < 1
    np.testing.assert_allclose(jnp.mean(noise, axis=0), 0.5, atol=4 * 0.29 / 2000**0.5)
    assert abs(jnp.corrcoef(noise.T)[0, 1]) < 0.1
    np.testing.assert_array_equal(CATEGORICAL.noise(key, like, 30), noise[:30])


STATES = Normal(
    np.array([[0.3, -1.0], [2.5, 0.0]]), np.array([[0.1, -1.5], [0.9, 0.0]])
)
LOW, HIGH = np.array([0.0, -2.0]), np.array([15.0, 2.0])


@pytest.mark.parametrize("mean", [-2.0, 0.0, 3.0])
@pytest.mark.parametrize("std", [0.2, 1.0, 2.5])
def test_a_squashed_normal_s_density_integrates_to_one_over_its_actions(mean, std):
    squashed = squashed_normal(-1.0, 4.0)
    z = jnp.linspace(mean - 12 * std, mean + 12 * std, 200_001)[:, None]
    actions = squashed.action(z)[:, 0]
    assert actions.min() >= -1 and actions.max() <= 4
    params = Normal(jnp.full((1,), mean), jnp.full((1,), np.log(std)))
    density = jnp.exp(jax.vmap(squashed.log_prob, (None, 0))(params, z))
    np.testing.assert_allclose(np.trapezoid(density, actions), 1, atol=1e-6)
    # Against the density written with the inverse, where that is well conditioned.
    middle = slice(80_000, 120_001, 10_000)
    share = (actions[middle] + 1) / 5
    inverse = np.log(share) - np.log1p(-share)
    expected = stats.norm.logpdf(inverse, mean, std) - np.log(5 * share * (1 - share))
    np.testing.assert_allclose(np.log(density[middle]), expected, rtol=1e-6)
    # The entropy by integration.
    total = -np.trapezoid(density * jnp.log(density), actions)
    tolerance = 1e-6 if std <= 1 else 1e-3
    np.testing.assert_allclose(squashed.entropy(params), total, atol=tolerance)


def test_the_diagonal_normal_is_scipy_s():
    normal, z = diagonal_normal(), jnp.array([[0.5, -1.1], [2.0, 0.3]])
    mean, std = np.asarray(STATES.mean), np.exp(np.asarray(STATES.log_std))
    expected = stats.norm.logpdf(z, mean, std).sum(axis=1)
    np.testing.assert_allclose(normal.log_prob(STATES, z), expected, rtol=1e-12)
    expected = stats.norm.entropy(mean, std).sum(axis=1)
    np.testing.assert_allclose(normal.entropy(STATES), expected, rtol=1e-12)
    noise = normal.noise(jax.random.key(0), STATES, 20_000)
    assert noise.shape == (20_000, 2, 2)
    samples = jax.vmap(normal.sample, (None, 0))(STATES, noise)
    np.testing.assert_allclose(samples.mean(axis=0), mean, atol=4 * 2.5 / 20_000**0.5)
    np.testing.assert_allclose(samples.std(axis=0), std, rtol=0.03)
    few = normal.noise(jax.random.key(0), STATES, 30)
    np.testing.assert_array_equal(few, noise[:30])


@pytest.mark.parametrize("bounded", [squashed_normal, clipped_normal])
def test_actions_are_in_bounds_however_far_the_sample(bounded):
    distribution = bounded(LOW, HIGH)
    for far in (0.0, 1.0, 40.0, 1e4):
        for sign in (-1, 1):
            action = distribution.action(jnp.full((2,), sign * far))
            assert jnp.all(action >= LOW) and jnp.all(action <= HIGH)
            log_prob = distribution.log_prob(
                Normal(jnp.zeros(2), jnp.zeros(2)), jnp.full((2,), sign * min(far, 40))
            )
            assert jnp.isfinite(log_prob)


@pytest.mark.float32
def test_bounds_hold_in_float32_too():
    low, high = -0.7, 0.3
    samples = jnp.linspace(-200, 200, 10_001, dtype=jnp.float32)[:, None]
    for bounded in (squashed_normal, clipped_normal):
        actions = bounded(low, high).action(samples)
        assert actions.dtype == jnp.float32
        assert jnp.min(actions) >= np.float32(low)
        assert jnp.max(actions) <= np.float32(high)


@pytest.mark.parametrize("bounded", [squashed_normal, clipped_normal])
def test_the_score_function_is_unbiased_on_one_step(bounded):
    """∇ E[f(a)] by quadrature of the reparametrised integral and of f times the score.

    The first differentiates the action, the second the log-probability: they agree only
    if the stored sample's log-probability is what the policy really draws from.
    """
    distribution = bounded(-1.0, 2.0)
    nodes = np.linspace(-9, 9, 90_001)[:, None]
    weights = np.exp(-(nodes[:, 0] ** 2) / 2)
    weights /= weights.sum()

    def earned(sample):
        action = distribution.action(sample)
        return jnp.sum(jnp.cos(3 * action) + action)

    def samples(params):
        return jax.vmap(distribution.sample, (None, 0))(params, nodes)

    def by_action(params):
        return jnp.sum(weights * jax.vmap(earned)(samples(params)))

    def by_score(params, drawn):
        log_probs = jax.vmap(distribution.log_prob, (None, 0))(params, drawn)
        return jnp.sum(weights * jax.vmap(earned)(drawn) * log_probs)

    params = Normal(jnp.array([0.3]), jnp.array([-0.2]))
    expected = jax.grad(by_action)(params)
    estimate = jax.grad(by_score)(params, samples(params))
    tolerance = 1e-9 if bounded is squashed_normal else 1e-4  # of clipping's kinks
    np.testing.assert_allclose(estimate.mean, expected.mean, atol=tolerance)
    np.testing.assert_allclose(estimate.log_std, expected.log_std, atol=tolerance)
    assert abs(expected.mean[0]) > 0.1
