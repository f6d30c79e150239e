"""Tabular MDPs solved exactly: what their best policy earns, and any other one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.envs.tabular import EnvParams


class Optimum(NamedTuple):
    """The best policy of an MDP whose episodes have at most H steps.

    Attributes:
        start_value: the expected return of an episode from its start.
        values: the expected return from a step on in a state, `[H + 1, S]`.
        actions: the best action in a step and a state, `[H, S]`.
    """

    start_value: jax.Array
    values: jax.Array
    actions: jax.Array


def best_policy(params: EnvParams, horizon: int, discount: float = 1.0) -> Optimum:
    r"""Value iteration over the H steps of an episode, when all tables are known.

    V_t(s) = max_a [r(s, a) + γ (1 − e(s, a)) Σ_s' P(s' | s, a) V_{t+1}(s')], V_H = 0,
    with e the probability that the episode ends. A reward's noise does not matter.

    Args:
        params: the tables, of one task.
        horizon: H, the number of steps of an episode.
        discount: γ, where the first reward counts in full.

    Returns:
        The best policy and its values.

    Example:
        >>> from dmaml_jax.envs import TabularMDP
        >>> params = TabularMDP(num_states=2, num_actions=3).default_params
        >>> print(best_policy(params, horizon=5).start_value)
        10.0
    """

    def back(later: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        worth = _worth(params, later, discount)
        now = jnp.max(worth, axis=1)
        return now, (now, jnp.argmax(worth, axis=1).astype(jnp.int32))

    end = jnp.zeros_like(params.start)
    first, (values, actions) = jax.lax.scan(back, end, length=horizon, reverse=True)
    values = jnp.concatenate([values, end[None]])
    return Optimum(params.start @ first, values, actions)


def value_of(
    params: EnvParams, policy: jax.Array, horizon: int, discount: float = 1.0
) -> jax.Array:
    """The expected return of an episode under a policy.

    Args:
        params: the tables, of one task.
        policy: the probability of each action, `[S, A]` or `[H, S, A]`, where it
            differs from step to step.
        horizon: H, the number of steps of an episode.
        discount: γ, where the first reward counts in full.

    Returns:
        The expected return from the start of an episode, a scalar.
    """
    every = jnp.broadcast_to(policy, (horizon, *params.rewards.shape))

    def back(later: jax.Array, chances: jax.Array) -> tuple[jax.Array, None]:
        return jnp.sum(chances * _worth(params, later, discount), axis=1), None

    end = jnp.zeros_like(params.start)
    return params.start @ jax.lax.scan(back, end, every, reverse=True)[0]


def _worth(params: EnvParams, later: jax.Array, discount: float) -> jax.Array:
    """What each action in each state is worth, `[S, A]`, given the values after it."""
    goes_on = discount * (1 - params.termination)
    return params.rewards + goes_on * (params.transitions @ later)
