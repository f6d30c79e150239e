"""Rules that play Bernoulli bandits without any training, simulated on the device.

A rule is a pure function of a key and of what it has seen of one bandit. Many bandits
are played side by side by `jax.vmap`. All rules that count begin with one success and
one failure of every arm, which is the uniform law of the probabilities.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Seen(NamedTuple):
    """What a rule knows before a pull.

    Attributes:
        successes: the number of pulls of each arm that paid 1, `[k]`.
        failures: the number of pulls of each arm that paid nothing, `[k]`.
        last_arm: the arm that was pulled last, −1 before the first pull.
        last_reward: what the last pull paid.
    """

    successes: jax.Array
    failures: jax.Array
    last_arm: jax.Array
    last_reward: jax.Array

    @property
    def mean(self) -> jax.Array:
        """The posterior mean of each arm's probability, `[k]`."""
        return (self.successes + 1) / (self.successes + self.failures + 2)


Rule = Callable[[jax.Array, Seen], jax.Array]
"""`(key, seen) -> arm`."""


def uniform(key: jax.Array, seen: Seen) -> jax.Array:
    """Any arm, each equally likely; n pulls earn n / 2 in expectation."""
    return jax.random.randint(key, (), 0, len(seen.successes), jnp.int32)


def greedy(key: jax.Array, seen: Seen) -> jax.Array:
    """The arm of the greatest posterior mean; of several, each equally likely."""
    return _any_greatest(key, seen.mean)


def epsilon_greedy(epsilon: float) -> Rule:
    """Any arm with probability ε, else the greedy one.

    Args:
        epsilon: ε, from 0 to 1.
    """

    def rule(key: jax.Array, seen: Seen) -> jax.Array:
        key_whether, key_uniform, key_greedy = jax.random.split(key, 3)
        explores = jax.random.uniform(key_whether, (), seen.mean.dtype) < epsilon
        return jnp.where(explores, uniform(key_uniform, seen), greedy(key_greedy, seen))

    return rule


def thompson(key: jax.Array, seen: Seen) -> jax.Array:
    """Thompson sampling: the arm that is best in one draw from the posterior."""
    drawn = jax.random.beta(key, seen.successes + 1, seen.failures + 1)
    return jnp.argmax(drawn).astype(jnp.int32)


def ucb1(scale: float) -> Rule:
    """UCB1: the greatest mean_a + c sqrt(2 log t / T_a), with t the pull, from 1.

    Args:
        scale: c, how wide the confidence bounds are.
    """

    def rule(key: jax.Array, seen: Seen) -> jax.Array:
        pulls = seen.successes + seen.failures
        width = jnp.sqrt(2 * jnp.log(jnp.sum(pulls) + 1) / (pulls + 2))
        return _any_greatest(key, seen.mean + scale * width)

    return rule


def stay_or_shift(key: jax.Array, seen: Seen) -> jax.Array:
    """Win-stay-lose-shift: after a failure any of the other arms."""
    num_arms = len(seen.successes)
    key_first, key_shift = jax.random.split(key)
    shift = jax.random.randint(key_shift, (), 1, num_arms, jnp.int32)
    shifted = (seen.last_arm + shift) % num_arms
    again = jnp.where(seen.last_reward > 0, seen.last_arm, shifted)
    return jnp.where(seen.last_arm < 0, uniform(key_first, seen), again)


@partial(jax.jit, static_argnums=(1, 2, 3, 4))
def play(
    key: jax.Array, rule: Rule, num_arms: int, num_pulls: int, num_bandits: int
) -> jax.Array:
    """The returns of a rule on bandits drawn from the law of tasks.

    Args:
        key: the key of the bandits and of everything that happens to them.
        rule: the rule that plays all of them, each on its own.
        num_arms: k, the number of arms.
        num_pulls: n, the number of pulls of each bandit.
        num_bandits: B, the number of bandits.

    Returns:
        The undiscounted return of each bandit, `[B]`.

    Example:
        >>> returns = play(jax.random.key(0), uniform, 2, 10, 400)
        >>> print(returns.shape, bool(abs(returns.mean() - 5) < 0.5))
        (400,) True
    """

    def of_bandit(key: jax.Array) -> jax.Array:
        key_arms, key_pulls = jax.random.split(key)
        dtype = jnp.result_type(float)
        chances = jax.random.uniform(key_arms, (num_arms,), dtype)

        def pull(seen: Seen, key: jax.Array) -> tuple[Seen, jax.Array]:
            key_rule, key_reward = jax.random.split(key)
            arm = rule(key_rule, seen)
            paid = jax.random.uniform(key_reward, (), dtype) < chances[arm]
            reward = paid.astype(dtype)
            after = Seen(
                seen.successes.at[arm].add(reward),
                seen.failures.at[arm].add(1 - reward),
                arm,
                reward,
            )
            return after, reward

        nothing = jnp.zeros(num_arms, dtype)
        start = Seen(nothing, nothing, jnp.int32(-1), jnp.zeros((), dtype))
        keys = jax.random.split(key_pulls, num_pulls)
        return jnp.sum(jax.lax.scan(pull, start, keys)[1])

    return jax.vmap(of_bandit)(jax.random.split(key, num_bandits))


def _any_greatest(key: jax.Array, values: jax.Array) -> jax.Array:
    """The index of the greatest value; of several, each equally likely."""
    lots = jax.random.uniform(key, values.shape, values.dtype)
    lots = jnp.where(values == jnp.max(values), lots, -1)
    return jnp.argmax(lots).astype(jnp.int32)
