"""Whole lifetimes: what they add up to, and agents whose lifetime is known."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.build import configuration
from dmaml_jax.build.environment import named_environment, named_tasks
from dmaml_jax.build.learner import build
from dmaml_jax.build.policy import default_policy
from dmaml_jax.errors import UsageError
from dmaml_jax.results.lifetime import lifetime, of_returns, trials
from dmaml_jax.runs.loading import Loaded
from dmaml_jax.training.keys import seed_keys

pytestmark = pytest.mark.float32


def untrained(inner_lr: float) -> Loaded:
    """A run on a bandit of two arms that has not learned anything yet."""
    return new("maml", inner_lr=inner_lr, hidden_sizes=())


def new(algo: str, **values: Any) -> Loaded:
    config = configuration("bandit:2", algo, **values)
    env = named_environment("bandit:2")
    tasks = named_tasks(env, config)
    policy = default_policy(env, tasks, config)
    problem, learner = build(config, env=env, tasks=tasks, policy=policy)
    state = learner.init(seed_keys(jnp.uint32(1)).init)
    states = jax.tree.map(lambda leaf: leaf[None], state)
    rest: Any = (env, tasks, policy, problem, learner, states)
    return Loaded(Path("none"), config, *rest, [1], 0)


def test_a_lifetime_is_the_sum_of_its_parts() -> None:
    returns = np.array([[[0.5, 0.7, 0.9], [0.1, 0.2, 0.0]]])
    found = of_returns(returns, 4)
    np.testing.assert_allclose(found.total, [[8.4, 1.2]])
    np.testing.assert_allclose(found.last, [[0.9, 0.0]])
    np.testing.assert_allclose(found.parts, [0.3, 0.45, 0.45])
    assert found.interval[0] == pytest.approx(4.8)


def test_one_that_does_not_adapt_earns_the_same_in_every_part() -> None:
    found = lifetime(
        untrained(0.0), num_episodes=12, episodes_per_step=4, num_tasks=300
    )
    np.testing.assert_array_equal(found.total, 12 * found.last)
    np.testing.assert_array_equal(found.parts, found.parts[0])
    assert abs(found.total.mean() - 6) < 4 * found.total.std() / np.sqrt(300)


def test_adaptation_shows_in_every_part_but_the_first() -> None:
    options = {"episodes_per_step": 10, "num_tasks": 300}
    found = lifetime(untrained(3.0), num_episodes=30, **options)
    before, after, last = found.parts
    assert before + 0.05 < after < last + 0.05 and last < 2 / 3 + 0.05
    np.testing.assert_allclose(found.total.mean(), 10 * found.parts.sum(), rtol=1e-5)


@pytest.mark.parametrize(("episodes", "each"), [(10, 4), (5, 5)])
def test_parts_are_whole(episodes: int, each: int) -> None:
    with pytest.raises(UsageError, match="is not two or more whole parts"):
        lifetime(untrained(0.1), num_episodes=episodes, episodes_per_step=each)


def test_a_trial_s_pulls_are_all_of_one_bandit() -> None:
    """A policy that pulls at random, whose total varies by pull and by bandit.

    The mean of two arms has the variance 1/24, which every pair of a trial's pulls
    shares; n pulls of as many bandits would have n/4 alone.
    """
    run, n, many = new("rl2", episodes_per_trial=10, memory_size=4), 10, 4000
    found = trials(run, num_trials=many, at_once=300)
    assert found.total.shape == found.last.shape == (1, many)
    assert found.parts.shape == (n,) and set(np.unique(found.last)) == {0, 1}
    np.testing.assert_allclose(found.parts.sum(), found.total.mean(), rtol=1e-5)
    variance = n / 4 + n * (n - 1) / 24
    assert abs(found.total.mean() - n / 2) < 4 * np.sqrt(variance / many)
    assert abs(found.total.var() / variance - 1) < 4 * np.sqrt(2 / many)
    again = trials(run, num_trials=many, at_once=1000)
    np.testing.assert_array_equal(again.total, found.total)
    assert (trials(run, num_trials=many, draw=1).total != found.total).any()


def test_only_a_memory_lives_in_trials() -> None:
    with pytest.raises(UsageError, match="maml does not learn from whole trials"):
        trials(untrained(0.1))
