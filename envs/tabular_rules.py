"""Classical agents for random MDPs, which learn one MDP's tables while they act.

They know the law of tasks of `RandomMDP` and keep its exact posterior: transitions
from flat Dirichlet distributions and mean rewards from N(1, 1), seen with noise from
N(0, 1).
Before every episode an agent chooses tables and plans for them by value iteration.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.envs.mdp import RandomMDP
from dmaml_jax.envs.tabular_optimum import best_policy


class Belief(NamedTuple):
    """What has been seen of one MDP.

    Attributes:
        moves: the number of steps from a state with an action to a state, `[S, A, S]`.
        rewards: the sum of the rewards of an action in a state, `[S, A]`.
    """

    moves: jax.Array
    rewards: jax.Array

    @property
    def mean_rewards(self) -> jax.Array:
        """Posterior means of the mean rewards, `[S, A]`."""
        return (1 + self.rewards) * self.variances

    @property
    def variances(self) -> jax.Array:
        """Posterior variances of the mean rewards, `[S, A]`."""
        return 1 / (1 + jnp.sum(self.moves, axis=2))


Tables = tuple[jax.Array, jax.Array]
"""Transitions `[S, A, S]` and mean rewards `[S, A]`."""
Rule = Callable[[jax.Array, Belief], Tables]
"""`(key, belief) -> tables` that the next episode is planned for."""


def certain(key: jax.Array, belief: Belief) -> Tables:
    """The posterior means, as if they were certain: the greedy agent."""
    moves = belief.moves + 1
    return moves / jnp.sum(moves, axis=2, keepdims=True), belief.mean_rewards


def sampled(key: jax.Array, belief: Belief) -> Tables:
    """One draw from the posterior: posterior sampling (PSRL, Strens 2000)."""
    key_moves, key_rewards = jax.random.split(key)
    means = belief.mean_rewards
    noise = jax.random.normal(key_rewards, means.shape, means.dtype)
    transitions = jax.random.dirichlet(key_moves, belief.moves + 1, dtype=means.dtype)
    return transitions, means + jnp.sqrt(belief.variances) * noise


@partial(jax.jit, static_argnums=(1, 2, 3))
def play(
    key: jax.Array,
    rule: Rule,
    num_episodes: int,
    num_mdps: int,
    epsilon: float | jax.Array = 0.0,
) -> jax.Array:
    """The returns of an agent on MDPs drawn from the law of tasks.

    Args:
        key: the key of the MDPs and of everything that happens in them.
        rule: which tables the agent plans for.
        num_episodes: n, the number of episodes in each MDP.
        num_mdps: the number of MDPs.
        epsilon: the probability of any action, each equally likely, in every step.

    Returns:
        The undiscounted return of each episode, `[num_mdps, n]`.
    """
    keys = jax.random.split(key, num_mdps)
    return jax.vmap(lambda key: _play_one(key, rule, num_episodes, epsilon))(keys)


def _play_one(
    key: jax.Array, rule: Rule, num_episodes: int, epsilon: float | jax.Array
) -> jax.Array:
    """The returns of the episodes in one MDP, `[n]`."""
    env = RandomMDP()
    key_task, key_episodes = jax.random.split(key)
    task = env.task_law.sample(key_task, env.default_params)
    horizon = int(env.default_params.max_steps_in_episode)

    def episode(belief: Belief, key: jax.Array) -> tuple[Belief, jax.Array]:
        key_plan, key_reset, key_steps = jax.random.split(key, 3)
        transitions, rewards = rule(key_plan, belief)
        known = task.replace(transitions=transitions, rewards=rewards)
        actions = best_policy(known, horizon).actions
        _, state = env.reset_env(key_reset, task)

        def step(carry: Any, now: Any) -> Any:
            (state, belief), (key, planned) = carry, now
            key_whether, key_any, key_step = jax.random.split(key, 3)
            explores = jax.random.uniform(key_whether, (), rewards.dtype) < epsilon
            anything = jax.random.randint(key_any, (), 0, env.num_actions, jnp.int32)
            here = state.state
            action = jnp.where(explores, anything, planned[here])
            _, state, reward, _, _ = env.step_env(key_step, state, action, task)
            belief = Belief(
                belief.moves.at[here, action, state.state].add(1),
                belief.rewards.at[here, action].add(reward),
            )
            return (state, belief), reward

        keys = jax.random.split(key_steps, horizon)
        (_, belief), earned = jax.lax.scan(step, (state, belief), (keys, actions))
        return belief, jnp.sum(earned)

    nothing = Belief(jnp.zeros_like(task.transitions), jnp.zeros_like(task.rewards))
    keys = jax.random.split(key_episodes, num_episodes)
    return jax.lax.scan(episode, nothing, keys)[1]
