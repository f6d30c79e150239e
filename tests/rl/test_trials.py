"""Trials: what a memory is shown, what it lives through, and what a step is worth."""

from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces

from dmaml_jax.rl.memory_policies import remembering
from dmaml_jax.rl.policies import categorical_head, normal_head
from dmaml_jax.rl.recurrent import gru
from dmaml_jax.rl.temporal_convolution import snail
from dmaml_jax.rl.trial_objective import (
    trial_gae,
    trial_kl,
    trial_log_probs,
    trial_objective,
    unrolled,
)
from dmaml_jax.rl.trial_problem import make_trial_problem
from dmaml_jax.rl.trials import episode_returns, percepts
from dmaml_jax.tasks.distributions import TaskDistribution
from dmaml_jax.types import Agent, Percept, Policy, Problem, Trajectory

HORIZON, EPISODES, LENGTH = 4, 3, 12


@struct.dataclass
class Where:
    """The number of steps, where the episode began, and when it ends."""

    time: Any
    start: Any
    last: Any


@struct.dataclass
class Pay:
    """What every step pays, and after how many of them an episode may end."""

    pay: Any = 1.0
    max_steps_in_episode: Any = 100


class Paying:
    """Every step pays the task; an episode lasts 1 to 6 steps, 4 by the time limit."""

    name = "paying"
    default_params = Pay()

    def action_space(self, params: Pay) -> spaces.Discrete:
        return spaces.Discrete(3)

    def reset_env(self, key: jax.Array, params: Pay) -> tuple[jax.Array, Where]:
        key_start, key_last = jax.random.split(key)
        start = jax.random.uniform(key_start, (), jnp.result_type(float))
        last = jax.random.randint(key_last, (), 1, 7, jnp.int32)
        state = Where(jnp.int32(0), start, last)
        return self._obs(state), state

    def step_env(self, key: Any, state: Where, action: Any, params: Pay) -> Any:
        state = state.replace(time=state.time + 1)
        pay = jnp.asarray(params.pay, state.start.dtype) * state.time
        return self._obs(state), state, pay, state.time >= state.last, {}

    def is_truncated(self, state: Where, params: Pay) -> jax.Array:
        return state.time >= params.max_steps_in_episode

    def _obs(self, state: Where) -> jax.Array:
        return jnp.stack([state.start, state.time.astype(state.start.dtype)])


def policy_of(kind: str = "gru") -> Policy:
    made = {"gru": lambda n: gru(n, 5, (4,)), "snail": lambda n: snail(n, LENGTH, 3)}
    network = made[kind]
    return remembering(categorical_head(3), network(3), network(1))


def problem_of(policy: Policy, lives: int = 8, **values: Any) -> Problem:
    tasks = TaskDistribution(
        lambda key: Pay(jax.random.uniform(key, (), jnp.result_type(float)), 100),
        lambda: Pay(0.5, 100),
    )
    return make_trial_problem(
        Paying(),
        tasks,
        policy,
        trial_objective(policy, discount=0.9, **values),
        horizon=HORIZON,
        num_trajectories=lives,
        num_episodes=EPISODES,
        discount=0.9,
    )


def moved(params: Any) -> Any:
    """Away from the head's small start, so that a wrong input shows."""
    return jax.tree.map(
        lambda x: np.asarray(
            x + 0.3 * np.cos(np.arange(x.size)).reshape(x.shape), x.dtype
        ),
        jax.device_get(params),
    )


@pytest.fixture(scope="module")
def lived() -> Any:
    """A policy, its parameters, and 8 trials of a task that pays 2, 4, … a step."""
    with jax.enable_x64(True):
        policy = policy_of()
        problem = problem_of(policy)
        params = moved(jax.jit(problem.init)(jax.random.key(0)))
        data = problem.collect(jax.random.key(1), params, Pay(2.0))
        return policy, problem, params, jax.tree.map(np.asarray, data)


def test_episodes_stand_one_behind_the_other(lived: Any) -> None:
    """Each begins anew right after the last one's end, and only the tail is empty."""
    data = lived[3]
    ends = 0
    for obs, alive, begins, terminated, rewards in zip(
        data.obs, data.alive, data.begins, data.terminated, data.rewards, strict=True
    ):
        length = alive.sum()
        assert alive[:length].all()
        clock, episodes = 0, 0
        for t in range(length):
            assert begins[t] == (clock == 0) == (obs[t, 1] == 0)
            assert obs[t, 1] == clock and rewards[t] == 2 * (clock + 1)
            episodes += begins[t]
            if t:  # the start is drawn anew where an episode begins, and there alone
                assert (obs[t, 0] != obs[t - 1, 0]) == begins[t]
            clock = 0 if terminated[t] or clock == HORIZON - 1 else clock + 1
            ends += terminated[t]
        assert clock == 0 and episodes == EPISODES
    living = data.alive.sum(axis=1)
    assert len(set(living)) > 2, "episodes of different lengths"
    assert 0 < ends < 8 * EPISODES, "some end by themselves, some at the time limit"


def test_the_flag_is_seen_once_per_episode_time_limits_included(lived: Any) -> None:
    policy, _, _, data = lived
    shown = jax.vmap(partial(percepts, policy))(data)
    np.testing.assert_array_equal(shown.begins.sum(axis=1), EPISODES)
    assert (shown.begins[:, 0] == 1).all()


def test_a_percept_keeps_the_last_action_and_reward_over_an_end(lived: Any) -> None:
    policy, _, _, data = lived
    shown = jax.vmap(partial(percepts, policy))(data)
    assert (shown.action[:, 0] == 0).all() and (shown.reward[:, 0] == 0).all()
    for k, t in zip(*np.nonzero(data.alive), strict=True):
        if t:
            assert shown.reward[k, t] == data.rewards[k, t - 1] > 0
            np.testing.assert_array_equal(
                shown.action[k, t], np.eye(3)[data.actions[k, t - 1]]
            )


def test_an_episode_s_last_reward_changes_how_the_next_one_begins(lived: Any) -> None:
    policy, _, params, data = lived
    one = jax.tree.map(lambda leaf: leaf[:1], data)
    begin = int(np.nonzero(one.begins[0])[0][1])
    other = one._replace(rewards=one.rewards.copy())
    other.rewards[0, begin - 1] += 1
    through = jax.jit(partial(unrolled, policy))
    logits, changed = (through(params, each)[0][0] for each in (one, other))
    np.testing.assert_array_equal(logits[:begin], changed[:begin])
    assert np.abs(logits[begin] - changed[begin]).max() > 1e-4


@pytest.mark.parametrize("kind", ["gru", "snail"])
def test_one_pass_gives_the_rollout_s_log_probabilities(kind: str, lived: Any) -> None:
    """The ratio is 1 in the first minibatch, and the KL is 0."""
    policy, problem, params, data = lived
    if kind == "snail":
        policy = policy_of(kind)
        problem = problem_of(policy, lives=2)
        params = moved(jax.jit(problem.init)(jax.random.key(0)))
        data = problem.collect(jax.random.key(1), params, Pay(2.0))
    again = jax.jit(partial(trial_log_probs, policy))(params, data)
    np.testing.assert_allclose(again, data.log_probs, rtol=0, atol=1e-10)
    assert len(np.unique(np.asarray(data.log_probs))) > 10
    assert abs(jax.jit(partial(trial_kl, policy))(params, data)) < 1e-12


def test_the_memory_is_new_in_every_trial_and_a_task_s_own(lived: Any) -> None:
    """Tasks in another order, with their keys: the same trials in that order."""
    _, problem, params, data = lived
    keys = jax.random.split(jax.random.key(5), 3)
    tasks = Pay(jnp.array([1.0, 2.0, 5.0]), jnp.full(3, 100))
    order = jnp.array([2, 0, 1])
    collect = jax.jit(jax.vmap(problem.collect, in_axes=(0, None, 0)))
    found = collect(keys, params, tasks)
    other = collect(keys[order], params, jax.tree.map(lambda x: x[order], tasks))
    np.testing.assert_array_equal(other.actions, found.actions[order])
    np.testing.assert_array_equal(other.rewards, found.rewards[order])
    # The task stays the same over every end of an episode.
    paid = found.rewards / jnp.where(found.alive, found.obs[:, :, :-1, 1] + 1, 1)
    expected = np.broadcast_to(np.array([1.0, 2.0, 5.0])[:, None, None], paid.shape)
    np.testing.assert_allclose(paid[found.alive], expected[found.alive], rtol=1e-12)
    # The first step knows nothing but the observation, whatever came before.
    first = jax.jit(partial(unrolled, lived[0]))(params, data)[0][:, 0]
    np.testing.assert_allclose(
        data.log_probs[:, 0],
        jnp.take_along_axis(
            jax.nn.log_softmax(first), data.actions[:, 0][:, None], axis=1
        )[:, 0],
        rtol=1e-10,
    )


def literal_gae(
    rewards: np.ndarray, values: np.ndarray, ends: list[int], mask: bool
) -> list[float]:
    """Every δ by hand, summed by a double loop; an end may cut both, or not."""
    length, deltas = len(rewards), []
    for t in range(length):
        last = t == length - 1 or (mask and t in ends)
        deltas.append(rewards[t] + 0.9 * (0 if last else values[t + 1]) - values[t])
    found = []
    for t in range(length):
        total, factor = 0.0, 1.0
        for later in range(t, length):
            total += factor * deltas[later]
            factor *= 0.9 * 0.7
            if mask and later in ends:
                break
        found.append(total)
    return found


def test_advantages_go_on_over_the_end_of_an_episode() -> None:
    """Two episodes of 3 and 2 steps, and a tail that was not lived."""
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=5), rng.normal(size=7)
    alive = np.arange(7) < 5
    padded = np.concatenate([rewards, np.zeros(2)])
    found = trial_gae(padded, values, alive, 0.9, 0.7)
    expected = literal_gae(rewards, values[:5], [2], mask=False)
    np.testing.assert_allclose(found[:5], expected, rtol=1e-12)
    assert (found[5:] == 0).all()
    masked = literal_gae(rewards, values[:5], [2], mask=True)
    assert np.abs(np.subtract(masked, expected))[:3].min() > 1e-3


def test_returns_are_told_by_episode(lived: Any) -> None:
    _, problem, _, data = lived
    each = jax.vmap(partial(episode_returns, num_episodes=EPISODES))(data)
    for k in range(8):
        starts = [*np.nonzero(data.begins[k])[0], LENGTH]
        sums = [data.rewards[k, a:b].sum() for a, b in pairwise(starts)]
        np.testing.assert_allclose(each[k], sums, rtol=1e-12)
    assert problem.episode_returns is not None
    np.testing.assert_allclose(
        problem.episode_returns(data), each.mean(axis=0), rtol=1e-12
    )
    assert int(problem.num_steps(data)) == data.alive.sum()


def test_a_life_goes_on_where_it_was(lived: Any) -> None:
    """Episodes lived one by one: the second begins with what ended the first."""
    policy, problem, params, _ = lived
    assert problem.newborn is not None and problem.live is not None
    born = problem.newborn(params)
    task = Pay(2.0)
    first, agent = jax.jit(problem.live)(jax.random.key(3), born, task)
    assert first.rewards.shape == (8, HORIZON) and (first.begins.sum(axis=1) == 1).all()
    ends = np.asarray(first.alive).sum(axis=1) - 1
    lives = np.arange(8)
    np.testing.assert_array_equal(agent.memory.reward, first.rewards[lives, ends])
    np.testing.assert_array_equal(
        agent.memory.action, np.eye(3)[np.asarray(first.actions)[lives, ends]]
    )
    # The memory is that of one pass over what was lived.
    shown = jax.device_get(jax.vmap(partial(percepts, policy))(first))
    apply = jax.jit(policy.apply)
    for k in range(3):
        memory = policy.memory() if policy.memory else None
        for t in range(ends[k] + 1):
            one = jax.tree.map(lambda leaf, k=k, t=t: leaf[k, t], shown)
            _, memory = apply(params, one, memory)
        np.testing.assert_allclose(agent.memory.memory[k], memory, rtol=1e-10)


def test_episodes_to_measure_go_on_from_the_agent_s_lives(lived: Any) -> None:
    """Life i measures episodes i, i + 2, …; another memory acts otherwise."""
    _, problem, params, _ = lived
    assert problem.newborn is not None and problem.live is not None
    born = problem.newborn(params)
    pair = jax.tree.map(lambda leaf: leaf[:2], born.memory)
    _, agent = problem.live(jax.random.key(3), Agent(params, pair), Pay(2.0))
    key = jax.random.key(4)
    found = problem.collect(key, agent, Pay(2.0))
    lives = jnp.arange(8) % 2
    eight = Agent(params, jax.tree.map(lambda leaf: leaf[lives], agent.memory))
    expected, _ = problem.live(key, eight, Pay(2.0))
    np.testing.assert_array_equal(found.log_probs, expected.log_probs)
    fresh = problem.collect(key, born, Pay(2.0))
    assert np.abs(fresh.log_probs[:, 0] - found.log_probs[:, 0]).min() > 1e-6


def test_continuous_actions_are_shown_as_the_environment_gets_them() -> None:
    policy = remembering(normal_head(2), gru(2, 3), gru(1, 3))
    assert policy.shown is not None
    np.testing.assert_array_equal(policy.shown(None), np.zeros(2))
    sample = jnp.array([0.3, -4.0])
    np.testing.assert_array_equal(policy.shown(sample), sample)


def test_the_policy_gradient_of_a_trial_is_the_enumerated_one() -> None:
    """Two pulls of a bandit of two arms: a sum over all 16 histories.

    Weighed by how probable each history is, −T times the gradient of the loss at λ = γ
    = 1 without a baseline is ∇ Σ_h P_θ(h) R(h), to rounding.
    """
    policy = policy_of_bandit()
    objective = trial_objective(
        policy,
        discount=1.0,
        gae_lambda=1.0,
        value_coefficient=0.0,
        entropy_coefficient=0.0,
    )
    chances = jnp.array([0.2, 0.7])
    data = histories()
    obs = jnp.zeros(1)
    zero = jnp.zeros(())

    assert policy.shown is not None
    percept = Percept(obs, policy.shown(None), zero, zero)
    params = moved(jax.jit(policy.init)(jax.random.key(0), percept))
    params["critic"]["head"] = jax.tree.map(np.zeros_like, params["critic"]["head"])
    paid = jnp.where(
        data.rewards == 1, chances[data.actions], 1 - chances[data.actions]
    )
    world = jnp.prod(paid, axis=1)

    def expected_return(params: Any) -> jax.Array:
        acting = jnp.exp(jnp.sum(trial_log_probs(policy, params, data), axis=1))
        return jnp.sum(world * acting * jnp.sum(data.rewards, axis=1))

    old = jax.jit(partial(trial_log_probs, policy))(params, data)
    data = jax.jit(objective.advantages)(params, data._replace(log_probs=old))
    probable = world * jnp.exp(jnp.sum(old, axis=1))
    np.testing.assert_allclose(jnp.sum(probable), 1, rtol=1e-12)
    # The loss is a mean over the 16; here each counts as often as it happens.
    assert data.weights is not None
    data = data._replace(weights=16 * data.weights * probable[:, None])
    exact = jax.jit(jax.grad(expected_return))(params)
    for loss in (objective.outer_loss, partial(clipped, objective)):
        gradient = jax.jit(jax.grad(loss))(params, data)
        jax.tree.map(
            lambda g, e: np.testing.assert_allclose(-2 * g, e, rtol=0, atol=1e-10),
            gradient,
            exact,
        )
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(exact)) > 1e-2


def clipped(objective: Any, params: Any, data: Trajectory) -> jax.Array:
    return objective.clipped_loss(params, data, 1e6)


def policy_of_bandit() -> Policy:
    return remembering(categorical_head(2), gru(2, 3), gru(1, 3))


def histories() -> Trajectory:
    """Every sequence of two arms and two rewards, one trial each, `[16, 2]`."""
    grid = np.indices((2, 2, 2, 2)).reshape(4, 16).T
    return Trajectory(
        obs=jnp.zeros((16, 3, 1)),
        actions=jnp.asarray(grid[:, :2], jnp.int32),
        log_probs=jnp.zeros((16, 2)),
        rewards=jnp.asarray(grid[:, 2:], float),
        alive=jnp.ones((16, 2), bool),
        terminated=jnp.ones((16, 2), bool),
        begins=jnp.ones((16, 2), bool),
    )
