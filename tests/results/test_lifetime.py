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
from dmaml_jax.results.lifetime import lifetime, of_returns
from dmaml_jax.runs.loading import Loaded
from dmaml_jax.training.keys import seed_keys

pytestmark = pytest.mark.float32


def untrained(inner_lr: float) -> Loaded:
    """A run on a bandit of two arms that has not learned anything yet."""
    config = configuration("bandit:2", algo="maml", inner_lr=inner_lr, hidden_sizes=())
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
