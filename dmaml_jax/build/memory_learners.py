"""Of each learner that adapts by a memory: its network, and its problem."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from dmaml_jax.build.environment import own_limit
from dmaml_jax.config.composition import TrainConfig
from dmaml_jax.learners import rl2, snail
from dmaml_jax.learners.trial_ppo import TrialOptions
from dmaml_jax.rl import recurrent, temporal_convolution
from dmaml_jax.rl.heads import Head
from dmaml_jax.rl.memory_policies import Network, remembering
from dmaml_jax.rl.policies import as_vector
from dmaml_jax.rl.trial_objective import trial_objective
from dmaml_jax.rl.trial_problem import make_trial_problem
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.types import Policy, Problem


class Kind(NamedTuple):
    """What a learner's memory asks of its surroundings.

    Attributes:
        policy: `(config, env, head, obs) -> ` the default policy, from the head that
            fits the actions, and an observation's shape and type.
        problem: `(config, env, tasks, policy) -> ` the problem that it learns.
    """

    policy: Callable[[TrainConfig, Any, Head, Any], Policy]
    problem: Callable[[TrainConfig, Any, TaskDistribution, Policy], Problem]


def kind_of(config: TrainConfig) -> Kind:
    """The kind of a configuration's learner, which adapts by a memory."""
    return KINDS[config.run.algo]


def horizon_of(config: TrainConfig, env: Any) -> int:
    """H, the most steps of an episode."""
    return config.sampling.horizon or own_limit(env)


def _trials(
    config: TrainConfig, env: Any, tasks: TaskDistribution, policy: Policy
) -> Problem:
    own, sampling = config.learner, config.sampling
    assert isinstance(own, TrialOptions)
    objective = trial_objective(
        policy,
        discount=sampling.discount,
        gae_lambda=own.gae_lambda,
        value_coefficient=own.value_coefficient,
        entropy_coefficient=own.entropy_coefficient,
        value_loss=own.value_loss,
    )
    return make_trial_problem(
        env,
        tasks,
        policy,
        objective,
        horizon=horizon_of(config, env),
        num_trajectories=sampling.num_trajectories,
        num_episodes=own.episodes_per_trial,
        discount=sampling.discount,
    )


def _recurrent(config: TrainConfig, env: Any, head: Head, obs: Any) -> Policy:
    del env
    own = config.learner
    assert isinstance(own, rl2.Options)
    network = partial(
        recurrent.gru,
        memory_size=own.memory_size,
        hidden_sizes=config.policy.hidden_sizes,
        precision=config.run.matmul_precision,
    )
    return _of_networks(config, head, obs, network)


def _attentive(config: TrainConfig, env: Any, head: Head, obs: Any) -> Policy:
    own = config.learner
    assert isinstance(own, snail.Options)
    network = partial(
        temporal_convolution.snail,
        length=own.episodes_per_trial * horizon_of(config, env),
        filters=own.filters,
        precision=config.run.matmul_precision,
    )
    return _of_networks(config, head, obs, network)


def _of_networks(
    config: TrainConfig, head: Head, obs: Any, network: Callable[[int], Network]
) -> Policy:
    values = config.policy
    flat = partial(
        as_vector, shape=obs.shape, scale=values.obs_scale, squash=values.obs_squash
    )
    return remembering(head, network(head.num_outputs), network(1), flat)


KINDS: dict[str, Kind] = {
    "rl2": Kind(_recurrent, _trials),
    "snail": Kind(_attentive, _trials),
}
"""By the name of a learner that adapts by a memory and learns from whole trials."""
