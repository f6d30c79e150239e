"""Point navigation against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.envs import Point
from dmaml_jax.envs.point import EnvParams

KEY = jax.random.key(0)


def play(env, params, actions):
    """Positions, rewards and ends of given actions."""

    def advance(state, action):
        with jax.numpy_dtype_promotion("standard"):
            obs, state, reward, over, _ = env.step_env(KEY, state, action, params)
        return state, (obs, reward, over)

    _, state = env.reset_env(KEY, params)
    state = state.replace(time=jnp.int32(0))
    return jax.lax.scan(advance, state, jnp.asarray(actions, float))[1]


def test_moves_are_clipped_and_add_up():
    actions = np.array([[0.05, -0.02], [1.0, -3.0], [0.1, 0.1], [-0.3, 0.0]])
    positions, _, _ = play(Point(), EnvParams(goal_x=5.0), actions)
    expected = np.cumsum(np.clip(actions, -0.1, 0.1), axis=0)
    np.testing.assert_allclose(positions, expected, atol=1e-15)


@pytest.mark.parametrize(
    ("reward", "formula"),
    [
        ("squared", lambda d: -(d**2)),
        ("distance", lambda d: -d),
        ("sparse", lambda d: np.maximum(0.2 - d, 0)),
    ],
)
def test_rewards_are_of_the_position_after_the_move(reward, formula):
    params = EnvParams(goal_x=0.3, goal_y=-0.1)
    actions = np.full((4, 2), 0.07)
    positions, rewards, _ = play(Point(reward), params, actions)
    distances = np.hypot(positions[:, 0] - 0.3, positions[:, 1] + 0.1)
    np.testing.assert_allclose(rewards, formula(distances), atol=1e-12)


@pytest.mark.parametrize(("miss", "ends"), [(0.0099, True), (0.0101, False)])
def test_an_episode_ends_within_a_hundredth_of_the_goal(miss, ends):
    params = EnvParams(goal_x=0.1 + miss, goal_y=0.0)
    actions = [[0.1, 0.0], [0.0, 0.1]]
    positions, rewards, over = play(Point("distance"), params, actions)
    assert bool(over[0]) == ends
    np.testing.assert_allclose(rewards[0], -miss, atol=1e-12)
    if ends:  # absorbing
        np.testing.assert_array_equal(positions[1], positions[0])
        assert rewards[1] == 0 and over[1]
    _, rewards, over = play(Point("sparse"), params, actions)
    assert not over.any() and rewards[1] > 0


def test_a_start_on_the_goal_is_no_end():
    """The medium task's goal is where the point starts."""
    positions, rewards, over = play(Point(), EnvParams(), [[0.1, 0.0], [0.1, 0.0]])
    np.testing.assert_allclose(positions[1], [0.2, 0.0])
    np.testing.assert_allclose(rewards, [-0.01, -0.04])
    assert not over.any()


def test_an_unknown_reward_is_refused():
    with pytest.raises(ValueError, match="no reward 'dense': choose squared"):
        Point("dense")
