"""Two families of tasks, each a bank and tests of two large kinds and an isolated one.

They were fixed before any result was seen.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

SIZES, TESTS = (19, 19, 2), 12  # of the bank's categories; test tasks of each
LABELS = np.repeat(np.arange(3), SIZES)


class Family(NamedTuple):
    """A family of tasks: the problem, the bank, and tests of each category in order."""

    problem: Any
    bank: Any
    tests: Any
    inner_lr: float
    outer_lr: float


def point() -> Family:
    """Goals at the corners of a triangle, with a deviation of 0.06 around each."""
    import jax.numpy as jnp

    from dmaml_jax.build import configuration
    from dmaml_jax.build.learner import build

    random = np.random.default_rng(20261127)
    corners = np.array([[0.45, 0.2], [-0.45, 0.2], [0.0, -0.5]])
    config = configuration("point", "maml", horizon=50)
    problem, _ = build(config)

    def tasks(labels: np.ndarray) -> Any:
        goals = corners[labels] + 0.06 * random.normal(size=(len(labels), 2))
        medium = problem.medium_task()
        wide = {
            name: jnp.full(len(labels), value)
            for name, value in vars(medium).items()
            if not name.startswith("_")
        }
        x, y = jnp.asarray(goals, jnp.result_type(float)).T
        return medium.replace(**{**wide, "goal_x": x, "goal_y": y})

    tests = np.repeat(np.arange(3), TESTS)
    return Family(problem, tasks(LABELS), tasks(tests), config.learner.inner_lr, 0.001)


def tabular() -> Family:
    """Rewards of 6 states and 3 actions: a table for each category, noise of 0.3."""
    import jax
    import jax.numpy as jnp

    from dmaml_jax import (
        Policy,
        TaskDistribution,
        categorical,
        make_problem,
        policy_gradient,
    )
    from dmaml_jax.envs import TabularMDP, random_mdp

    random = np.random.default_rng(20261128)
    mdp = random_mdp(jax.random.key(0), 6, 3)
    tables = random.normal(size=(3, 6, 3))
    policy = Policy(
        init=lambda key, obs: jnp.zeros((6, 3)),
        apply=lambda params, obs: obs @ params,
        distribution=categorical(),
    )
    problem = make_problem(
        TabularMDP(6, 3),
        TaskDistribution(lambda key: mdp, lambda: mdp),
        policy,
        policy_gradient(policy, discount=0.99),
        horizon=10,
        num_trajectories=20,
        discount=0.99,
    )

    def tasks(labels: np.ndarray) -> Any:
        rewards = tables[labels] + 0.3 * random.normal(size=(len(labels), 6, 3))
        stacked = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (len(labels), *jnp.shape(leaf))), mdp
        )
        return stacked.replace(rewards=jnp.asarray(rewards, mdp.rewards.dtype))

    return Family(
        problem, tasks(LABELS), tasks(np.repeat(np.arange(3), TESTS)), 0.3, 0.01
    )


FAMILIES: dict[str, Callable[[], Family]] = {"tabular": tabular, "point": point}
