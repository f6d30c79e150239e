"""Bernoulli bandits: what a pull pays, and how they are drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.envs import Bandit

KEY = jax.random.key(0)


def rewards_of(params, arm, num=4000):
    env = Bandit(3)

    def pull(key):
        key_reset, key_step = jax.random.split(key)
        _, state = env.reset_env(key_reset, params)
        return env.step_env(key_step, state, arm, params)[2]

    return np.asarray(jax.jit(jax.vmap(pull))(jax.random.split(KEY, num)))


@pytest.mark.parametrize(("arm", "chance"), [(0, 0.0), (1, 1.0), (2, 0.3)])
def test_an_arm_pays_one_with_its_probability(arm, chance):
    params = Bandit(3).default_params.replace(probabilities=jnp.array([0.0, 1.0, 0.3]))
    rewards = rewards_of(params, arm)
    assert set(rewards.tolist()) <= {0.0, 1.0}
    error = 4 * np.sqrt(chance * (1 - chance) / len(rewards))
    assert abs(rewards.mean() - chance) <= error


def test_an_episode_is_one_pull_and_its_end_is_absorbing():
    env = Bandit()
    params = env.default_params.replace(probabilities=jnp.ones(5))
    obs, state = env.reset_env(KEY, params)
    np.testing.assert_array_equal(obs, [1.0])
    assert not env.is_terminated(state, params)
    obs, state, reward, terminated, _ = env.step_env(KEY, state, 2, params)
    assert reward == 1 and terminated and obs.shape == (1,)
    _, state, reward, terminated, _ = env.step_env(KEY, state, 2, params)
    assert reward == 0 and terminated and state.time == 1


def test_probabilities_are_uniform_and_the_medium_task_has_halves():
    env = Bandit(4)
    law, common = env.task_law, env.default_params
    keys = jax.random.split(KEY, 5000)
    drawn = np.asarray(jax.vmap(lambda k: law.sample(k, common))(keys).probabilities)
    assert drawn.shape == (5000, 4) and 0 <= drawn.min() and drawn.max() < 1
    np.testing.assert_allclose(drawn.mean(0), 0.5, atol=4 * np.sqrt(1 / 12 / 5000))
    np.testing.assert_allclose(drawn.var(0), 1 / 12, atol=0.005)
    correlations = np.corrcoef(drawn.T)[np.triu_indices(4, 1)]
    np.testing.assert_allclose(correlations, 0, atol=4 / np.sqrt(5000))
    np.testing.assert_array_equal(law.medium(common).probabilities, [0.5] * 4)


def test_spaces_and_too_few_arms():
    env = Bandit(7)
    params = env.default_params
    assert env.num_actions == env.action_space(params).n == 7
    assert env.observation_space(params).shape == (1,)
    with pytest.raises(ValueError, match="leaves nothing to choose"):
        Bandit(1)
