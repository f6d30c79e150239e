"""Policy gradients against REINFORCE by hand, enumeration and literal values."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import TABULAR

from dmaml_jax.rl.baselines import leave_one_out_time_mean
from dmaml_jax.rl.objectives import normalize, trajectory_log_probs
from dmaml_jax.rl.policy_gradient import policy_gradient
from dmaml_jax.rl.surrogates import surrogate
from dmaml_jax.types import Trajectory

RAW = {"baseline": None, "normalize_advantages": False}


def softmax(logits):
    exponents = np.exp(logits)
    return exponents / exponents.sum(axis=-1, keepdims=True)


def trajectories(states, actions, rewards, lengths) -> Trajectory:
    """Data of K trajectories, `states` one step longer than the rest."""
    alive = np.arange(np.shape(actions)[1]) < np.asarray(lengths)[:, None]
    shape = alive.shape
    return Trajectory(
        obs=jnp.asarray(np.eye(2)[np.asarray(states)]),
        actions=jnp.asarray(actions, jnp.int32),
        log_probs=jnp.zeros(shape),
        rewards=jnp.asarray(np.asarray(rewards) * alive, float),
        alive=jnp.asarray(alive),
        terminated=jnp.zeros(shape, bool),
    )


def some_data(seed=0) -> Trajectory:
    rng = np.random.default_rng(seed)
    states, actions = rng.integers(2, size=(3, 6)), rng.integers(2, size=(3, 5))
    return trajectories(states, actions, rng.normal(size=(3, 5)), [5, 2, 3])


def some_params():
    return jnp.array([[0.3, -0.2], [0.1, 0.9]])


def test_advantages_and_weights_literally():
    data = trajectories(
        np.zeros((2, 4), int), np.zeros((2, 3), int), np.ones((2, 3)), [3, 1]
    )
    plain = policy_gradient(TABULAR, discount=0.5, **RAW).advantages(None, data)
    np.testing.assert_allclose(plain.advantages, [[1.75, 1.5, 1], [1, 0, 0]])
    np.testing.assert_allclose(plain.weights, [[0.5, 0.5, 0.5], [0.5, 0, 0]])

    baseline = policy_gradient(TABULAR, discount=0.5, normalize_advantages=False)
    np.testing.assert_allclose(
        baseline.advantages(None, data).advantages, [[0.75, 1.5, 1], [-0.75, 0, 0]]
    )

    mean = policy_gradient(TABULAR, discount=0.5, step_reduction="mean", **RAW)
    np.testing.assert_allclose(
        mean.advantages(None, data).weights, [[0.25, 0.25, 0.25], [0.25, 0, 0]]
    )

    weighted = policy_gradient(TABULAR, discount=0.5, discount_weighting=True, **RAW)
    np.testing.assert_allclose(
        weighted.advantages(None, data).weights, [[0.5, 0.25, 0.125], [0.5, 0, 0]]
    )


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("weighting", [False, True])
@pytest.mark.parametrize("normalized", [False, True])
def test_the_gradient_is_reinforce_by_hand(reduction, weighting, normalized):
    data, params = some_data(), some_params()
    objective = policy_gradient(
        TABULAR,
        discount=0.9,
        normalize_advantages=normalized,
        step_reduction=reduction,
        discount_weighting=weighting,
    )

    rewards, alive = np.asarray(data.rewards), np.asarray(data.alive)
    powers = 0.9 ** np.arange(5)
    returns = np.array(
        [[row[t:] @ powers[: 5 - t] for t in range(5)] for row in rewards]
    )
    values = np.zeros((3, 5))
    for k, t in np.argwhere(alive):
        others = [returns[j, t] for j in range(3) if j != k and alive[j, t]]
        values[k, t] = returns[k, t] - (np.mean(others) if others else 0)
    if normalized:
        values = (values - values[alive].mean()) / values[alive].std()
    share = 3 if reduction == "sum" else alive.sum()
    ascent, value = np.zeros((2, 2)), 0.0
    for k, t in np.argwhere(alive):
        state, action = np.argmax(data.obs[k, t]), data.actions[k, t]
        probabilities = softmax(np.asarray(params)[state])
        factor = values[k, t] * (powers[t] if weighting else 1) / share
        ascent[state] += (np.eye(2)[action] - probabilities) * factor
        value += np.log(probabilities[action]) * factor

    loss, gradient = jax.value_and_grad(objective.inner_loss)(
        params, objective.advantages(params, data)
    )
    np.testing.assert_allclose(loss, -value, rtol=1e-7)
    np.testing.assert_allclose(gradient, -ascent, rtol=1e-7)


@pytest.mark.parametrize("baseline", [None, leave_one_out_time_mean])
def test_the_gradient_is_unbiased_by_enumeration(baseline):
    """Over every data set of two episodes; from state 1, action 1 ends the episode.

    J is written down by dynamic programming: two states, two actions, two steps.
    """
    discount = 0.8
    rewards = jnp.array([[1.0, -0.5], [0.3, 2.0]])
    moves = jnp.array([[[0.7, 0.3], [0.2, 0.8]], [[0.6, 0.4], [0.0, 0.0]]])

    def expected_return(params):
        policy = jax.nn.softmax(params)
        last = jnp.sum(policy * rewards, axis=1)
        first = jnp.sum(policy * (rewards + discount * moves @ last), axis=1)
        return jnp.mean(first)  # either state to begin with

    objective = policy_gradient(
        TABULAR,
        discount=discount,
        baseline=baseline,
        normalize_advantages=False,
        discount_weighting=True,
    )
    params = some_params()
    policy = softmax(np.asarray(params))
    episodes = []  # states, actions, rewards, length, probability
    for s, a in product(range(2), repeat=2):
        begin = 0.5 * policy[s, a]
        if (s, a) == (1, 1):
            episodes.append(([1, 0, 0], [1, 0], [2.0, 0.0], 1, begin))
            continue
        for s2, a2 in product(range(2), repeat=2):
            chance = begin * moves[s, a, s2] * policy[s2, a2]
            gains = [rewards[s, a], rewards[s2, a2]]
            episodes.append(([s, s2, 0], [a, a2], gains, 2, chance))
    pairs = list(product(episodes, repeat=2))
    columns = [
        np.array([[episode[i] for episode in pair] for pair in pairs], dtype)
        for i, dtype in enumerate((int, int, float, int, float))
    ]
    data = [trajectories(*row) for row in zip(*columns[:4], strict=True)]
    stacked = jax.tree.map(lambda *rows: jnp.stack(rows), *data)
    chances = columns[4].prod(axis=1)
    np.testing.assert_allclose(chances.sum(), 1)

    gradients = jax.vmap(
        lambda d: jax.grad(objective.inner_loss)(
            params, objective.advantages(params, d)
        )
    )(stacked)
    mean = np.tensordot(chances, np.asarray(gradients), axes=1)
    np.testing.assert_allclose(mean, -jax.grad(expected_return)(params), rtol=1e-12)


def test_normalised_advantages_have_mean_0_and_deviation_1_over_the_living():
    objective = policy_gradient(TABULAR, discount=0.9)
    filled = objective.advantages(None, some_data())
    living = np.asarray(filled.advantages)[np.asarray(filled.alive)]
    np.testing.assert_allclose(living.mean(), 0, atol=1e-12)
    np.testing.assert_allclose(living.std(), 1, rtol=1e-7)
    np.testing.assert_array_equal(filled.advantages[~filled.alive], 0)
    np.testing.assert_allclose(
        normalize(jnp.array([1.0, 3.0, 99.0]), jnp.array([1.0, 1.0, 0.0]))[:2], [-1, 1]
    )


def test_one_step_alone_gives_zero_and_not_nan():
    data = trajectories([[0, 0]], [[1]], [[5.0]], [1])
    objective = policy_gradient(TABULAR, discount=0.9)
    loss, gradient = jax.value_and_grad(objective.inner_loss)(
        some_params(), objective.advantages(None, data)
    )
    assert loss == 0
    np.testing.assert_array_equal(gradient, np.zeros((2, 2)))


@pytest.mark.float32
@pytest.mark.parametrize("num", [5, 10, 20])
def test_equal_episodes_give_zero_advantages_in_float32(num):
    """All of them lived to the time limit: there is nothing to tell them apart by.

    Rounding of the baseline must not be blown up to deviation 1.
    """
    shape = (num, 200)
    data = trajectories(
        np.zeros((num, 201), int), np.zeros(shape, int), np.ones(shape), [200] * num
    )
    objective = policy_gradient(TABULAR, discount=0.99)
    advantages = jax.jit(objective.advantages)(None, data).advantages
    np.testing.assert_allclose(advantages, np.zeros(shape), atol=0.01)


@pytest.mark.float32
@pytest.mark.parametrize("value", [0.1, 63.396])
def test_equal_values_normalise_to_zero_in_float32(value):
    values = normalize(jnp.full((10, 200), value), jnp.ones((10, 200)))
    np.testing.assert_allclose(values, np.zeros((10, 200)), atol=0.01)


@pytest.mark.parametrize("name", ["lvc", "dice", "loaded-dice"])
@pytest.mark.parametrize("weighting", [False, True])
def test_every_surrogate_has_the_same_gradient(name, weighting):
    """That of the score function; DiCE's of raw rewards, with their γ^t."""
    data, params = some_data(), some_params()
    raw = name == "dice"
    options = RAW if raw else {"normalize_advantages": True}
    mine = policy_gradient(
        TABULAR,
        discount=0.9,
        surrogate=surrogate(name),
        discount_weighting=weighting,
        **({} if raw else options),
    )
    plain = policy_gradient(
        TABULAR, discount=0.9, discount_weighting=weighting or raw, **options
    )
    gradients = [
        jax.grad(objective.inner_loss)(params, objective.advantages(params, data))
        for objective in (mine, plain)
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-10)
    np.testing.assert_allclose(
        jax.grad(mine.outer_loss)(params, mine.advantages(params, data)),
        jax.grad(
            policy_gradient(
                TABULAR, discount=0.9, discount_weighting=weighting
            ).inner_loss
        )(params, mine.advantages(params, data)),
        rtol=1e-10,
    )


def test_losses_need_advantages_first():
    objective = policy_gradient(TABULAR, discount=0.9)
    with pytest.raises(AssertionError, match="call advantages"):
        objective.inner_loss(some_params(), some_data())


def test_log_probs_of_stored_steps():
    data, params = some_data(), some_params()
    log_probs = trajectory_log_probs(TABULAR, params, data)
    states = np.argmax(data.obs[:, :-1], axis=-1)
    expected = np.log(softmax(np.asarray(params)))[states, np.asarray(data.actions)]
    np.testing.assert_allclose(log_probs, expected * np.asarray(data.alive), rtol=1e-12)
