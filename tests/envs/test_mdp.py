"""Random MDPs: how tables are drawn, and what a step earns."""

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.envs import RandomMDP

KEY = jax.random.key(0)
ENV = RandomMDP()


def drawn(num):
    keys = jax.random.split(KEY, num)
    return jax.vmap(lambda key: ENV.task_law.sample(key, ENV.default_params))(keys)


def test_tables_are_drawn_from_their_laws():
    tasks = drawn(400)
    assert tasks.transitions.shape == (400, 10, 5, 10)
    np.testing.assert_allclose(tasks.transitions.sum(-1), 1, rtol=1e-12)
    # An entry of a flat Dirichlet over S states: mean 1/S, variance (S − 1)/S²(S + 1).
    entries = np.asarray(tasks.transitions).reshape(400, -1)
    np.testing.assert_allclose(entries.mean(), 0.1, atol=1e-12)
    np.testing.assert_allclose(entries.var(), 9 / 1100, rtol=0.02)
    rewards = np.asarray(tasks.rewards)
    assert abs(rewards.mean() - 1) < 4 / np.sqrt(rewards.size)
    assert abs(rewards.std() - 1) < 4 / np.sqrt(2 * rewards.size)
    np.testing.assert_array_equal(tasks.start, np.eye(10)[[0] * 400])
    assert not tasks.termination.any() and (tasks.noise == 1).all()


def test_the_medium_task_has_the_mean_tables():
    middle = ENV.task_law.medium(ENV.default_params)
    np.testing.assert_allclose(middle.transitions, 0.1)
    np.testing.assert_array_equal(middle.rewards, np.ones((10, 5)))
    tasks = drawn(400)
    error = 4 * np.sqrt(9 / 1100 / 400)
    np.testing.assert_allclose(
        tasks.transitions.mean(0), middle.transitions, atol=1.3 * error
    )


def steps(params, action, num=4000):
    """Rewards and next states of one action in state 0."""

    def step(key):
        key_reset, key_step = jax.random.split(key)
        _, state = ENV.reset_env(key_reset, params)
        _, moved, reward, _, _ = ENV.step_env(key_step, state, action, params)
        return reward, moved.state

    return jax.jit(jax.vmap(step))(jax.random.split(KEY, num))


def test_a_reward_is_its_mean_plus_noise_that_the_next_state_does_not_share():
    task = jax.tree.map(lambda leaf: leaf[0], drawn(1))
    rewards, states = map(np.asarray, steps(task, 3))
    noise = rewards - float(task.rewards[0, 3])
    assert abs(noise.mean()) < 4 / np.sqrt(4000)
    assert abs(noise.std() - 1) < 4 / np.sqrt(8000)
    assert abs(np.corrcoef(noise, states)[0, 1]) < 4 / np.sqrt(4000)
    shares = np.bincount(states, minlength=10) / 4000
    expected = np.asarray(task.transitions[0, 3])
    errors = 4.5 * np.sqrt(expected * (1 - expected) / 4000) + 1e-3
    assert np.all(abs(shares - expected) < errors)
    silent, _ = steps(task.replace(noise=jnp.array(0.0)), 3, 5)
    np.testing.assert_allclose(silent, task.rewards[0, 3])


def test_an_episode_begins_in_state_0_and_earns_nothing_after_ten_steps():
    params = ENV.default_params
    obs, state = ENV.reset_env(KEY, params)
    np.testing.assert_array_equal(obs, np.eye(10)[0])
    for key in jax.random.split(KEY, 10):
        _, state, reward, terminated, _ = ENV.step_env(key, state, 1, params)
        assert reward != 0 and not terminated
    assert ENV.is_truncated(state, params)
    _, last, reward, _, _ = ENV.step_env(KEY, state, 1, params)
    assert reward == 0 and last.state == state.state


def test_spaces_and_name():
    params = ENV.default_params
    assert ENV.name == "mdp" and ENV.action_space(params).n == 5
    assert ENV.observation_space(params).shape == (10,)
