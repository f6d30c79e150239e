"""PEARL's problem: episodes with one z each, and what becomes of them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax import envs
from dmaml_jax.learners.beliefs import (
    Belief,
    Evidence,
    believed,
    drawn,
    evidence,
)
from dmaml_jax.rl.latent_networks import Networks
from dmaml_jax.rl.latent_problem import dense_reward_of, latent_problem
from dmaml_jax.rl.soft_actor_critic import Weights
from dmaml_jax.rl.soft_values import bounded_numbers
from dmaml_jax.tasks.distributions import uniform
from dmaml_jax.types import Agent, Problem

NETWORKS = Networks(
    actions=bounded_numbers(np.full(2, -0.1), np.full(2, 0.1)),
    latent_size=3,
    hidden_sizes=(6,),
    encoder_sizes=(5,),
    next_obs=False,
    temperature=0.1,
    learn_temperature=False,
    precision="highest",
)
HORIZON, TRAJECTORIES = 4, 3


def problem_on(name: str, **other: Any) -> tuple[Any, Problem]:
    env, _ = envs.make(name)
    params = env.default_params.replace(max_steps_in_episode=HORIZON)
    tasks = uniform(params, goal_x=(0.1, 0.5))
    return env, latent_problem(
        env,
        tasks,
        NETWORKS,
        Weights(0.9, 1.0, None),
        horizon=HORIZON,
        num_trajectories=TRAJECTORIES,
        **other,
    )


@functools.cache
def on_point() -> Problem:
    """Made within a test: the tasks' numbers are of the precision that holds then."""
    return problem_on("point")[1]


def collected(key: jax.Array, agent: Agent, task: Any) -> Any:
    """Compiled once for all tests."""
    return _compiled()(key, agent, task)


@functools.cache
def _compiled() -> Any:
    return jax.jit(on_point().collect)


@pytest.fixture(scope="module")
def lived() -> Any:
    """Parameters that act differently for different z, and a collection of theirs."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        params = jax.tree.map(
            lambda leaf: leaf + 0.2 * jax.random.normal(jax.random.key(9), leaf.shape),
            on_point().init(jax.random.key(0)),
        )
        memory = Evidence(
            jnp.array([[2.0, 3.0, 4.0], [0.0, 0.0, 0.0]]),
            jnp.array([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]]),
        )
        agent, task = Agent(params, memory), on_point().medium_task()
        data = collected(jax.random.key(5), agent, task)
        return agent, task, data


def latents(agent: Agent) -> list[jax.Array]:
    """The z of each of the K trajectories, which take turns at the lives."""
    found = []
    for index, key in enumerate(jax.random.split(jax.random.key(5), TRAJECTORIES)):
        key_latent, _ = jax.random.split(key)
        own = jax.tree.map(lambda leaf, life=index % 2: leaf[life], agent.memory)
        found.append(drawn(key_latent, believed(own)))
    return found


def test_z_is_drawn_for_a_trajectory_and_kept_to_its_end(lived: Any):
    agent, _, data = lived
    each = latents(agent)
    for index, latent in enumerate(each):
        acted = jax.tree.map(lambda leaf, i=index: leaf[i], data.action_params)
        params = NETWORKS.act(agent.params["actor"], data.obs[index, :-1], latent)
        np.testing.assert_allclose(acted.mean, params.mean, rtol=1e-12)
        other = NETWORKS.act(
            agent.params["actor"], data.obs[index, :-1], each[index - 1]
        )
        assert np.abs(acted.mean - other.mean).min() > 1e-6


def test_transitions_are_the_steps_that_there_are(lived: Any):
    _, task, data = lived
    assert on_point().off_policy is not None
    steps, mask = on_point().off_policy.transitions(data, task)
    np.testing.assert_array_equal(mask, data.alive.reshape(-1))
    alive = np.asarray(mask)
    before, after = np.asarray(steps.obs)[alive], np.asarray(steps.next_obs)[alive]
    # The point moves by a tenth of what networks see of the action.
    np.testing.assert_allclose(after - before, 0.1 * steps.action[alive], atol=1e-12)
    distance = np.hypot(after[:, 0] - task.goal_x, after[:, 1] - task.goal_y)
    np.testing.assert_allclose(steps.reward[alive], -(distance**2), rtol=1e-12)
    assert steps.dense is None


def test_a_time_limit_is_no_end_and_the_goal_is_one(lived: Any):
    _, task, data = lived
    assert on_point().off_policy is not None
    assert bool(data.alive.all())
    steps, _ = on_point().off_policy.transitions(data, task)
    assert not bool(steps.terminated.any())
    # From the origin every step of this task ends at the goal.
    near = task.replace(goal_x=jnp.asarray(0.0), goal_radius=jnp.asarray(1.0))
    agent = lived[0]
    ended = collected(jax.random.key(5), agent, near)
    steps, mask = on_point().off_policy.transitions(ended, near)
    np.testing.assert_array_equal(steps.terminated, mask)
    assert int(mask.sum()) == TRAJECTORIES == int(on_point().num_steps(ended))


def test_a_life_adds_what_it_meets_to_its_evidence(lived: Any):
    agent, task, _ = lived
    assert on_point().live is not None and on_point().off_policy is not None
    data, grown = jax.jit(on_point().live)(jax.random.key(6), agent, task)
    assert data.rewards.shape == (2, HORIZON)
    for life in range(2):
        one = jax.tree.map(lambda leaf, i=life: leaf[i : i + 1], data)
        steps, mask = on_point().off_policy.transitions(one, task)
        met = evidence(NETWORKS.factors(agent.params, steps), mask)
        for name in ("precision", "weighted"):
            np.testing.assert_allclose(
                getattr(grown.memory, name)[life],
                getattr(agent.memory, name)[life] + getattr(met, name),
                rtol=1e-12,
            )
    np.testing.assert_array_equal(
        jax.tree.leaves(grown.params)[0], jax.tree.leaves(agent.params)[0]
    )


def test_the_newborn_believe_the_prior(lived: Any):
    params = lived[0].params
    assert on_point().newborn is not None
    agent = on_point().newborn(params)
    assert "critic" not in agent.params
    belief = jax.vmap(believed)(agent.memory)
    standard = Belief(jnp.zeros((TRAJECTORIES, 3)), jnp.ones((TRAJECTORIES, 3)))
    np.testing.assert_array_equal(belief.mean, standard.mean)
    np.testing.assert_array_equal(belief.variance, standard.variance)


def test_a_sparse_reward_is_shown_and_a_dense_one_learned_from(lived: Any):
    agent = lived[0]
    env, problem = problem_on("point-sparse")
    assert (
        problem.off_policy is not None
        and dense_reward_of(envs.make("point")[0]) is None
    )
    task = problem.medium_task()
    data = jax.jit(problem.collect)(jax.random.key(5), agent, task)
    steps, mask = problem.off_policy.transitions(data, task)
    assert bool(mask.all())
    away = np.hypot(
        steps.next_obs[:, 0] - task.goal_x, steps.next_obs[:, 1] - task.goal_y
    )
    np.testing.assert_allclose(steps.dense, -away, rtol=1e-12)
    np.testing.assert_allclose(
        steps.reward, np.maximum(task.sparse_radius - away, 0), atol=1e-12
    )
    np.testing.assert_allclose(
        problem.performance(data), steps.reward.sum() / TRAJECTORIES, rtol=1e-12
    )
    _, plain = problem_on("point-sparse", dense=False)
    assert plain.off_policy is not None
    assert plain.off_policy.transitions(data, task)[0].dense is None
    assert dense_reward_of(env) is not None
