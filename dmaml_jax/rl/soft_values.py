"""Soft values of states, for choices and for numbers as actions (soft actor-critic).

With two critics Q_1, Q_2 and a temperature α, the soft value of a state is

    V(s) = E_{a ~ π(·|s)} [min_i Q_i(s, a) − α log π(a|s)].

It is what a critic's target bootstraps from, and what a policy is to raise. For numbers
the expectation is one sample, differentiable through it (Haarnoja et al. 2018,
arXiv 1812.05905); for choices it is the sum over all of them (Christodoulou 2019,
arXiv 1910.07207).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.rl.action_distributions import (
    Normal,
    categorical,
    squashed_normal,
)
from dmaml_jax.types import Distribution

Critics = Callable[[jax.Array | None], jax.Array]
"""`(actions) -> `, of given actions `[2, B, 1]`, of all choices `[2, B, A]`."""

# What log σ may be, as in the published code of soft actor-critic.
_LOG_STD = (-20.0, 2.0)


class Actions(NamedTuple):
    """In what choices and numbers differ.

    Attributes:
        size: A, the length of an action as networks see it.
        num_outputs: how many outputs an actor has.
        num_values: how many outputs a critic has: one for each choice, or one.
        critic_sees: whether a critic is shown the action.
        distribution: the distribution that actions are drawn from.
        read: `(outputs) -> ` the distribution's parameters.
        shown: `(sample) -> [A]`, the action as networks see it.
        soft_value: `(key, parameters, critics, α) -> (V, entropy)`, both `[B]`.
        target_entropy: what a learned temperature keeps the entropy at by default.
    """

    size: int
    num_outputs: int
    num_values: int
    critic_sees: bool
    distribution: Distribution
    read: Callable[[jax.Array], Any]
    shown: Callable[[jax.Array], jax.Array]
    soft_value: Callable[..., tuple[jax.Array, jax.Array]]
    target_entropy: float


def choices(num_actions: int) -> Actions:
    """Discrete actions: a critic values all of them at once, and nothing is sampled.

    The default target of the entropy is 0.98 log A, as in Christodoulou 2019.
    """

    def soft_value(
        key: jax.Array, logits: jax.Array, critics: Critics, temperature: Any
    ) -> tuple[jax.Array, jax.Array]:
        del key  # the sum is over all actions
        log_probs = jax.nn.log_softmax(logits)
        probs = jnp.exp(log_probs)
        least = jnp.min(critics(None), axis=0)
        value = jnp.sum(probs * (least - temperature * log_probs), axis=-1)
        return value, -jnp.sum(probs * log_probs, axis=-1)

    return Actions(
        size=num_actions,
        num_outputs=num_actions,
        num_values=num_actions,
        critic_sees=False,
        distribution=categorical(),
        read=lambda outputs: outputs,
        shown=lambda sample: jax.nn.one_hot(
            sample, num_actions, dtype=jnp.result_type(float)
        ),
        soft_value=soft_value,
        target_entropy=0.98 * math.log(num_actions),
    )


def bounded_numbers(low: np.ndarray, high: np.ndarray) -> Actions:
    """Continuous actions, squashed into their bounds where there are any.

    Networks see them stretched to −1 … 1, and the density is that of the stretched
    action: α log π is then the same whatever unit an environment has, and so is the
    default target of the entropy, −A. The deviation depends on the state.

    Args:
        low: the least action, `[A]`; it may be infinite.
        high: the greatest action, `[A]`; it may be infinite.
    """
    size = len(low)
    finite = np.isfinite(low) & np.isfinite(high) & (low < high)
    unit = squashed_normal(
        np.where(finite, -1.0, -np.inf), np.where(finite, 1.0, np.inf)
    )

    def read(outputs: jax.Array) -> Normal:
        mean, log_std = jnp.split(outputs, 2, axis=-1)
        return Normal(mean, jnp.clip(log_std, *_LOG_STD))

    def soft_value(
        key: jax.Array, params: Normal, critics: Critics, temperature: Any
    ) -> tuple[jax.Array, jax.Array]:
        (noise,) = unit.noise(key, params, 1)
        sample = unit.sample(params, noise)
        log_prob = unit.log_prob(params, sample)
        least = jnp.min(critics(unit.action(sample)), axis=0)[..., 0]
        return least - temperature * log_prob, -log_prob

    return Actions(
        size=size,
        num_outputs=2 * size,
        num_values=1,
        critic_sees=True,
        distribution=squashed_normal(low, high),
        read=read,
        shown=unit.action,
        soft_value=soft_value,
        target_entropy=-float(size),
    )
