"""The gridworld's best search: all paths of a small grid, and the environment."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.envs import Gridworld
from dmaml_jax.envs.gridworld import GOALS, MOVES
from dmaml_jax.envs.gridworld_optimum import best_search


def literal(num_episodes: int, side: int, num_steps: int) -> float:
    """The greatest mean return of any sequence of the five moves."""
    goals = [(x, y) for x in range(side) for y in range(side) if max(x, y) > 1]
    every = np.array(list(itertools.product(range(5), repeat=num_steps)))
    cells = np.zeros((len(every), num_steps, 2), int)
    place = np.zeros((len(every), 2), int)
    for step in range(num_steps):
        place = np.clip(place + MOVES[every[:, step]], 0, side - 1)
        cells[:, step] = place
    cells = np.unique(cells, axis=0)
    times = np.full((len(cells), len(goals)), num_steps)
    for column, goal in enumerate(goals):
        there = np.all(cells == goal, axis=2)
        found = there.any(1)
        times[found, column] = there[found].argmax(1)
    times = np.unique(times, axis=0)  # of the steps from 0; H where it is not entered

    def earned(time):
        return np.where(time < num_steps, num_steps - time - 0.1 * time, -0.1 * time)

    known = earned(np.array(goals).sum(1) - 1)
    if num_episodes == 1:
        return earned(times).mean(1).max()
    best = -np.inf
    for first in times:
        found = first < num_steps
        later = np.where(found, known, earned(times))
        best = max(best, (earned(first) + later).mean(1).max())
    return best


@pytest.mark.parametrize(
    ("episodes", "side", "steps"), [(1, 3, 5), (2, 3, 4), (1, 4, 6), (2, 4, 6)]
)
def test_no_path_of_a_small_grid_is_better(episodes, side, steps) -> None:
    found = best_search(episodes, side=side, num_steps=steps)
    expected = literal(episodes, side, steps)
    np.testing.assert_allclose(found.total, expected, rtol=1e-12)
    np.testing.assert_allclose(found.episodes.sum(), expected, rtol=1e-12)


def test_one_episode_searches_and_the_others_know() -> None:
    """From episode 2 on the best search earns what an agent that sees the goal does."""
    seen = np.mean(16.1 - 1.1 * GOALS.sum(1))
    for episodes in (1, 2, 4):
        found = best_search(episodes)
        np.testing.assert_allclose(found.episodes[0], 4.0, rtol=1e-12)
        np.testing.assert_allclose(found.episodes[1:], seen, rtol=1e-12)
        np.testing.assert_allclose(found.total, found.episodes.sum(), rtol=1e-12)


def test_the_environment_pays_what_the_search_says() -> None:
    """Every goal is played: the path until it is found, then the way to it and rest."""
    env, found = Gridworld(), best_search(3)
    indices = {tuple(move): index for index, move in enumerate(MOVES.tolist())}

    def returns(actions, goals):
        def of_goal(goal):
            params = env.default_params.replace(goal_x=goal[0], goal_y=goal[1])
            _, state = env.reset_env(jax.random.key(0), params)

            def step(state, action):
                _, state, reward, _, _ = env.step_env(
                    jax.random.key(0), state, action, params
                )
                return state, reward

            return jax.lax.scan(step, state, actions[goal[0], goal[1]])[1].sum()

        return jax.jit(jax.vmap(of_goal))(goals)

    table = np.zeros((3, 5, 5, 15), int)
    for x, y in GOALS.tolist():
        known = None
        for episode, path in enumerate(found.paths):
            moves = [indices[tuple(move)] for move in np.diff(path, axis=0).tolist()]
            there = np.flatnonzero((path == (x, y)).all(1))
            if known is not None:
                moves = known
            elif len(there):
                moves = moves[: there[0]] + [0] * (15 - there[0])
                known = [2] * x + [1] * y + [0] * (15 - x - y)
            table[episode, x, y] = moves
        assert known is not None
    for episode, expected in enumerate(found.episodes):
        earned = returns(jnp.asarray(table[episode]), jnp.asarray(GOALS))
        np.testing.assert_allclose(earned.mean(), expected, rtol=1e-12)


def test_an_episode_must_be_long_enough() -> None:
    with pytest.raises(ValueError, match="give 8 or more"):
        best_search(2, num_steps=7)
