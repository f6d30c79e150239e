"""The categorical distribution by integration, enumeration and at its extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.distributions import categorical

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
