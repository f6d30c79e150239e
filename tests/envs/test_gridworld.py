"""The gridworld: moves, rewards, goals, and their middle."""

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.envs import Gridworld
from dmaml_jax.envs.gridworld import GOALS

KEY = jax.random.key(0)
ENV = Gridworld()
STAY, UP, RIGHT, DOWN, LEFT = range(5)


def play(actions, **goal):
    """Cells, rewards and observations of some actions."""
    params = ENV.default_params.replace(**goal)
    _, state = ENV.reset_env(KEY, params)

    def step(state, action):
        obs, state, reward, over, _ = ENV.step_env(KEY, state, action, params)
        return state, (state.position, reward, obs, over)

    return jax.lax.scan(step, state, jnp.array(actions))[1]


def test_moves_stop_at_the_border():
    actions = [LEFT, DOWN, UP, RIGHT, STAY, DOWN, LEFT, *[UP] * 6]
    cells, _, obs, over = play(actions)
    expected = [(0, 0), (0, 0), (0, 1), (1, 1), (1, 1), (1, 0), (0, 0)]
    expected += [(0, min(n, 4)) for n in range(1, 7)]
    np.testing.assert_array_equal(cells, expected)
    np.testing.assert_array_equal(obs, np.eye(25)[[5 * x + y for x, y in expected]])
    assert not over.any()


def test_the_goal_pays_as_long_as_the_agent_is_there():
    actions = [RIGHT, RIGHT, UP, STAY, STAY, LEFT, RIGHT, *[STAY] * 10]
    _, rewards, _, over = play(actions, goal_x=2, goal_y=1)
    expected = [-0.1, -0.1, 1, 1, 1, -0.1, 1, *[1] * 8, 0, 0]
    np.testing.assert_allclose(rewards, expected)
    assert not over.any()


def test_goals_are_uniform_over_the_cells_away_from_the_start():
    law, common = ENV.task_law, ENV.default_params
    keys = jax.random.split(KEY, 4200)
    tasks = jax.vmap(lambda key: law.sample(key, common))(keys)
    counts = np.zeros((5, 5))
    np.add.at(counts, (np.asarray(tasks.goal_x), np.asarray(tasks.goal_y)), 1)
    assert not counts[:2, :2].any()
    there = counts[tuple(GOALS.T)]
    assert len(there) == 21 and abs(there - 200).max() < 4.5 * np.sqrt(200)
    assert law.finite


def test_the_medium_task_is_the_medoid_in_steps():
    distances = abs(GOALS[:, None] - GOALS[None]).sum((1, 2))
    middle = ENV.task_law.medium(ENV.default_params)
    assert (middle.goal_x, middle.goal_y) == tuple(GOALS[np.argmin(distances)])
    assert np.sum(distances == distances.min()) == 1


def test_spaces_and_name():
    params = ENV.default_params
    assert ENV.name == "gridworld" and ENV.action_space(params).n == 5
    assert ENV.observation_space(params).shape == (25,)
