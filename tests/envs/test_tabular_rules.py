"""Agents for random MDPs: their posterior, and what they earn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.envs import tabular_rules as rules

KEY = jax.random.key(0)


def belief() -> rules.Belief:
    """Two states and one action; state 0 was left twice for itself and once for 1."""
    moves = jnp.array([[[2.0, 1.0]], [[0.0, 0.0]]])
    return rules.Belief(moves, jnp.array([[5.0], [0.0]]))


def test_the_greedy_agent_takes_posterior_means() -> None:
    """Three rewards of sum 5 and a prior N(1, 1): the mean is 6/4, the variance 1/4."""
    transitions, rewards = rules.certain(KEY, belief())
    np.testing.assert_allclose(transitions, [[[3 / 5, 2 / 5]], [[1 / 2, 1 / 2]]])
    np.testing.assert_allclose(rewards, [[6 / 4], [1.0]])


def test_posterior_sampling_has_the_posterior_s_moments() -> None:
    keys = jax.random.split(KEY, 4000)
    draws = jax.jit(jax.vmap(lambda key: rules.sampled(key, belief())))(keys)
    transitions, rewards = map(np.asarray, draws)
    means, deviations = np.array([[1.5], [1.0]]), np.array([[0.5], [1.0]])
    errors = 4 / np.sqrt(4000)
    assert np.all(abs(rewards.mean(0) - means) < errors * deviations)
    assert np.all(abs(rewards.std(0) - deviations) < errors * deviations)
    expected = np.array([3 / 5, 1 / 2])  # Beta(3, 2) and the uniform distribution
    spread = np.array([np.sqrt(1 / 25), np.sqrt(1 / 12)])
    assert np.all(abs(transitions[:, :, 0, 0].mean(0) - expected) < errors * spread)
    assert np.all(abs(transitions[:, :, 0, 0].std(0) - spread) < errors * spread)


@pytest.mark.float32
def test_any_action_earns_ten_and_learning_earns_more() -> None:
    """With ε = 1 nothing of the plan is left."""
    random = np.asarray(rules.play(KEY, rules.certain, 4, 600, 1.0))
    assert random.shape == (600, 4)
    means = random.mean(axis=1)
    assert abs(means.mean() - 10) < 4 * means.std() / np.sqrt(600)
    greedy = np.asarray(rules.play(KEY, rules.certain, 4, 600, 0.0))
    errors = 4 * greedy.std(axis=0) / np.sqrt(600)
    assert greedy[:, 3].mean() - 12 > errors[3]
    assert greedy[:, 3].mean() < 21.8
