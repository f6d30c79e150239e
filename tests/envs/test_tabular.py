"""MDPs of tables: frequencies against the tables, the end, random tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import small_mdp

from dmaml_jax.envs import TabularMDP, random_mdp

NUM = 40_000


def close_to(frequencies, probabilities) -> None:
    """Within 5 standard errors of NUM draws."""
    spread = np.sqrt(np.asarray(probabilities) * (1 - np.asarray(probabilities)) / NUM)
    np.testing.assert_array_less(
        np.abs(frequencies - np.asarray(probabilities)), 5 * spread + 1e-12
    )


def test_first_states_are_drawn_from_the_table() -> None:
    keys = jax.random.split(jax.random.key(0), NUM)
    obs, state = jax.vmap(TabularMDP().reset_env, in_axes=(0, None))(keys, small_mdp())
    close_to(np.mean(obs, axis=0), small_mdp().start)
    np.testing.assert_array_equal(np.argmax(obs, axis=1), state.state)


@pytest.mark.parametrize("action", [0, 1])
@pytest.mark.parametrize("here", [0, 1])
def test_a_step_is_drawn_from_the_tables(here: int, action: int) -> None:
    env, mdp = TabularMDP(), small_mdp(can_end=True)
    _, state = env.reset_env(jax.random.key(0), mdp)
    state = state.replace(state=jnp.int32(here))
    keys = jax.random.split(jax.random.key(1), NUM)
    _, after, reward, ended, _ = jax.vmap(
        lambda key: env.step_env(key, state, action, mdp)
    )(keys)
    np.testing.assert_array_equal(reward, np.full(NUM, mdp.rewards[here, action]))
    close_to(np.mean(np.asarray(ended)), mdp.termination[here, action])
    went = np.asarray(after.state)[~np.asarray(ended)]
    share = np.mean(went == 1)
    expected = float(mdp.transitions[here, action, 1])
    assert abs(share - expected) < 5 * np.sqrt(0.25 / len(went))
    np.testing.assert_array_equal(after.over, ended)
    np.testing.assert_array_equal(after.time, np.ones(NUM))


def test_the_end_is_absorbing() -> None:
    env, mdp = TabularMDP(), small_mdp(can_end=True)
    mdp = mdp.replace(termination=jnp.ones((2, 2)))
    _, state = env.reset_env(jax.random.key(0), mdp)
    obs, state, reward, ended, _ = env.step_env(jax.random.key(1), state, 0, mdp)
    assert ended and reward == mdp.rewards[state.state, 0]
    again, after, reward, ended, _ = env.step_env(jax.random.key(2), state, 1, mdp)
    assert ended and reward == 0 and env.is_terminated(after, mdp)
    np.testing.assert_array_equal(obs, again)
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_random_tables_are_probabilities_and_vary_with_the_key() -> None:
    one, two = (random_mdp(jax.random.key(k), 3, 4) for k in (0, 1))
    assert one.transitions.shape == (3, 4, 3) and one.rewards.shape == (3, 4)
    for table in (one.start, one.transitions):
        np.testing.assert_allclose(jnp.sum(table, axis=-1), 1, rtol=1e-12)
        assert jnp.all(table > 0)
    assert not np.any(one.termination)
    assert np.all(np.asarray(one.rewards) != np.asarray(two.rewards))


def test_spaces_and_names() -> None:
    env = TabularMDP(3, 4)
    params = env.default_params
    assert env.name == "tabular-mdp" and env.num_actions == 4
    assert env.action_space(params).n == 4
    assert env.observation_space(params).shape == (3,)
    np.testing.assert_allclose(jnp.sum(params.transitions, axis=-1), 1)
    assert "over" in env.state_space(params).spaces
