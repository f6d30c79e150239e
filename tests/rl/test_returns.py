"""Returns and generalised advantages against literals, loops and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.rl.returns import discounted_returns, gae

REWARDS = np.array([1.0, 2.0, 3.0])
VALUES = np.array([10.0, 20.0, 30.0, 40.0])


def an_episode(seed, end, terminates, horizon=9):
    """Random rewards and values; `end` steps are alive."""
    rng = np.random.default_rng(seed)
    alive = np.arange(horizon) < end
    terminated = alive & terminates & (np.arange(horizon) == end - 1)
    rewards = rng.normal(size=horizon) * alive
    return rewards, rng.normal(size=horizon + 1), alive, terminated


def numpy_gae(rewards, values, alive, terminated, discount, lam):
    """The recursion, backwards."""
    advantages, ahead = np.zeros(len(rewards)), 0.0
    for t in reversed(range(len(rewards))):
        if not alive[t]:
            continue
        after = 0 if terminated[t] else values[t + 1]
        ahead = rewards[t] + discount * after - values[t] + discount * lam * ahead
        advantages[t] = ahead
    return advantages


EPISODES = [(0, 9, False), (1, 9, True), (2, 5, True), (3, 5, False), (4, 1, True)]


def test_literal_returns():
    np.testing.assert_allclose(discounted_returns(REWARDS, 0.5), [2.75, 3.5, 3.0])
    np.testing.assert_array_equal(discounted_returns(REWARDS, 0.0), [1, 2, 3])
    np.testing.assert_array_equal(discounted_returns(REWARDS, 1.0), [6, 5, 3])


def test_returns_follow_the_recursion():
    rewards = np.random.default_rng(0).normal(size=200)
    expected = np.zeros(201)
    for t in reversed(range(200)):
        expected[t] = rewards[t] + 0.97 * expected[t + 1]
    np.testing.assert_allclose(
        discounted_returns(jnp.asarray(rewards), 0.97), expected[:-1], rtol=1e-10
    )


@pytest.mark.float32
def test_float32_returns_of_a_full_episode():
    expected = (1 - 0.99 ** np.arange(200, 0, -1)) / 0.01
    returns = discounted_returns(jnp.ones(200), 0.99)
    assert returns.dtype == jnp.float32
    np.testing.assert_allclose(returns, expected, rtol=2e-6)


def test_the_discount_may_be_traced():
    discounts = jnp.array([0.0, 0.5, 1.0])
    swept = jax.jit(jax.vmap(discounted_returns, in_axes=(None, 0)))(REWARDS, discounts)
    np.testing.assert_allclose(swept, [[1, 2, 3], [2.75, 3.5, 3], [6, 5, 3]])


@pytest.mark.parametrize("discount", [0.0, 0.5, 1.0])
def test_the_discount_may_be_differentiated(discount):
    """R_0 = 1 + 2γ + 3γ², so its derivative is 2 + 6γ."""

    def first(discount):
        return discounted_returns(jnp.asarray(REWARDS), discount)[0]

    np.testing.assert_allclose(jax.grad(first)(discount), 2 + 6 * discount)


@pytest.mark.parametrize(
    ("terminates", "expected"),
    [(False, [-0.1875, -4.75, -7.0]), (True, [-1.4375, -9.75, -27.0])],
)
def test_literal_advantages(terminates, expected):
    alive = jnp.ones(3, bool)
    terminated = jnp.array([False, False, terminates])
    advantages = gae(REWARDS, VALUES, alive, terminated, 0.5, 0.5)
    np.testing.assert_allclose(advantages, expected, rtol=1e-14)


def test_advantages_follow_the_recursion_for_every_kind_of_end():
    """One vmapped call with traced discounts, against the loop."""
    episodes = [an_episode(*episode) for episode in EPISODES]
    discounts = np.array([0.99, 0.9, 1.0, 0.5, 0.0])
    lambdas = np.array([0.95, 0.0, 0.7, 1.0, 0.3])
    stacked = [jnp.asarray(x) for x in map(np.stack, zip(*episodes, strict=True))]
    advantages = jax.jit(jax.vmap(gae))(*stacked, discounts, lambdas)
    for row, episode, γ, λ in zip(
        advantages, episodes, discounts, lambdas, strict=True
    ):
        expected = numpy_gae(*episode, γ, λ)
        np.testing.assert_allclose(row, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("episode", EPISODES)
def test_lambda_0_and_1_in_closed_form(episode):
    """The one-step error, and the bootstrapped return minus the value."""
    rewards, values, alive, terminated = an_episode(*episode)
    end = episode[1]
    last = 0.0 if episode[2] else values[end]
    after = np.append(values[1:end], last)
    arguments = [jnp.asarray(x) for x in (rewards, values, alive, terminated)]

    one_step = gae(*arguments, 0.9, 0.0)
    expected = rewards[:end] + 0.9 * after - values[:end]
    np.testing.assert_allclose(one_step[:end], expected, rtol=1e-12)
    np.testing.assert_array_equal(one_step[end:], 0)

    monte_carlo = gae(*arguments, 0.9, 1.0)
    for t in range(end):
        powers = 0.9 ** np.arange(end - t)
        expected = powers @ rewards[t:end] + 0.9 ** (end - t) * last - values[t]
        np.testing.assert_allclose(monte_carlo[t], expected, rtol=1e-12)


@pytest.mark.parametrize(("terminates", "last"), [(False, 0.03125), (True, 0.0)])
def test_the_gradient_flows_into_the_values(terminates, last):
    terminated = jnp.array([False, False, terminates])

    def first(values):
        return gae(REWARDS, values, jnp.ones(3, bool), terminated, 0.5, 0.5)[0]

    np.testing.assert_allclose(jax.grad(first)(VALUES), [-1, 0.25, 0.0625, last])
