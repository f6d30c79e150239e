"""Of each learner that adapts by a memory: its network, and its problem."""

from collections.abc import Callable
from typing import Any, NamedTuple

from dmaml_jax.build.latent import latent_policy_of, latent_problem_of
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.types import Policy, Problem


class Kind(NamedTuple):
    """What a learner's memory asks of its surroundings.

    Attributes:
        policy: `(env, tasks, config) -> ` the default policy, which has a memory.
        problem: `(config, env, tasks, policy) -> ` the problem that it learns.
    """

    policy: Callable[[Any, TaskDistribution, TrainConfig], Policy]
    problem: Callable[[TrainConfig, Any, TaskDistribution, Policy], Problem]


KINDS: dict[str, Kind] = {"pearl": Kind(latent_policy_of, latent_problem_of)}
"""By the name of a learner whose entry says that it adapts by a memory."""


def kind_of(config: TrainConfig) -> Kind:
    """The kind of a configuration's learner, which adapts by a memory."""
    return KINDS[config.run.algo]
