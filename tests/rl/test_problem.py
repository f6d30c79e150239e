"""The reinforcement-learning problem: literal numbers, pieces and keys."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dmaml_jax.envs import CartPole
from dmaml_jax.errors import UsageError
from dmaml_jax.rl.policies import mlp_categorical
from dmaml_jax.rl.policy_gradient import policy_gradient
from dmaml_jax.rl.problem import make_problem
from dmaml_jax.rl.surrogates import surrogate
from dmaml_jax.tasks.distributions import uniform
from dmaml_jax.types import Problem, Trajectory

KEY = jax.random.key(1)


def cartpole(
    *, horizon=30, num_trajectories=4, chunk=8, gravity=(5.0, 15.0), **objective
) -> Problem:
    policy = mlp_categorical(2, (6,))
    return make_problem(
        CartPole(),
        uniform(CartPole().default_params, gravity=gravity),
        policy,
        policy_gradient(policy, discount=0.9, **objective),
        horizon=horizon,
        num_trajectories=num_trajectories,
        discount=0.9,
        gradient_chunk=chunk,
    )


@cache
def collected():
    """θ and data of four episodes, of which some end before the horizon."""
    problem = cartpole()
    params = problem.init(KEY)
    return params, jax.jit(problem.collect)(KEY, params, problem.medium_task())


def ragged(lengths, horizon=7) -> Trajectory:
    """Random steps; observations beyond the end are kept, as a rollout does."""
    rng = np.random.default_rng(0)
    num = len(lengths)
    alive = np.arange(horizon) < np.array(lengths)[:, None]
    return Trajectory(
        obs=jnp.asarray(rng.normal(size=(num, horizon + 1, 4))),
        actions=jnp.asarray(rng.integers(2, size=(num, horizon)), jnp.int32),
        log_probs=jnp.asarray(rng.normal(size=(num, horizon)) * alive),
        rewards=jnp.asarray(rng.normal(size=(num, horizon)) * alive),
        alive=jnp.asarray(alive),
        terminated=jnp.asarray(alive & ~np.roll(alive, -1, axis=1)),
    )


def test_objective_performance_and_cost_literally():
    problem = cartpole()
    data = ragged([3, 1], horizon=3)._replace(
        rewards=jnp.array([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]])
    )
    expected = ((1 + 0.9 * 2 + 0.81 * 3) + 4) / 2
    np.testing.assert_allclose(problem.objective(data), expected, rtol=1e-14)
    assert problem.performance(data) == 5.0
    assert problem.num_steps(data) == 4 and problem.num_steps(data).dtype == jnp.int32


def test_collect_gives_whole_episodes_of_different_lengths():
    _, data = collected()
    assert data.obs.shape == (4, 31, 4) and data.rewards.shape == (4, 30)
    lengths = np.asarray(jnp.sum(data.alive, axis=1))
    assert lengths.min() < 30 and len(set(lengths.tolist())) > 1
    np.testing.assert_array_equal(jnp.any(data.terminated, axis=1), lengths < 30)
    np.testing.assert_array_equal(data.rewards, data.alive.astype(float))


def test_log_probs_are_those_of_the_sampling_policy():
    params, data = collected()
    log_probs = cartpole().log_probs(params, data)
    np.testing.assert_array_equal(log_probs[~data.alive], 0)
    np.testing.assert_array_equal(data.log_probs[~data.alive], 0)
    assert jnp.all(log_probs[data.alive] < 0)
    np.testing.assert_allclose(log_probs, data.log_probs, rtol=1e-10)


def test_sampled_tasks_are_stacked_and_differ():
    problem = cartpole()
    tasks = problem.sample_tasks(KEY, 5)
    assert {leaf.shape for leaf in jax.tree.leaves(tasks)} == {(5,)}
    assert len(np.unique(tasks.gravity)) == 5
    np.testing.assert_array_equal(tasks.masspole, np.full(5, 0.1))
    assert problem.medium_task().gravity == 10.0


def test_the_first_parameters_depend_on_the_key_alone():
    params = cartpole().init(KEY)
    other = cartpole(horizon=9, num_trajectories=1, gravity=(1.0, 2.0)).init(KEY)
    jax.tree.map(np.testing.assert_array_equal, params, other)
    another = cartpole().init(jax.random.key(2))
    kernels = [p["Dense_0"]["kernel"] for p in (params, another)]
    assert jnp.all(kernels[0] != kernels[1])


@pytest.mark.parametrize(
    ("lengths", "chunk", "num"),
    [
        ([7, 2, 4], 3, 3),  # the last piece is padded
        ([5, 2, 1], 3, 2),  # nobody lives in the last piece
        ([6, 2, 1], 3, 2),
        ([1, 1, 1], 2, 1),
        ([7, 7, 7], 50, 1),
    ],
)
def test_pieces_add_up_to_the_whole(lengths, chunk, num):
    problem = cartpole(chunk=chunk, discount_weighting=True)
    params = jax.tree.map(
        lambda x: x + jnp.linspace(-1, 1, x.size).reshape(x.shape), problem.init(KEY)
    )
    data = problem.advantages(params, ragged(lengths))
    pieces = problem.pieces(data)
    assert pieces.num == num
    whole = jax.value_and_grad(problem.inner_loss)(params, data)
    parts = [
        jax.value_and_grad(problem.inner_loss)(params, pieces.pick(jnp.int32(i)))
        for i in range(num)
    ]
    added = jax.tree.map(lambda *xs: sum(xs), *parts)
    assert jnp.abs(whole[0]) > 1e-3
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12),
        added,
        whole,
    )


def test_a_piece_has_the_observation_after_its_last_step():
    data = ragged([7, 7])
    piece = cartpole(chunk=3).pieces(data).pick(jnp.int32(1))
    np.testing.assert_array_equal(piece.obs, data.obs[:, 3:7])
    np.testing.assert_array_equal(piece.rewards, data.rewards[:, 3:6])
    np.testing.assert_array_equal(piece.terminated, data.terminated[:, 3:6])


def test_without_a_chunk_data_stay_whole():
    assert cartpole(chunk=0).pieces is None


def test_a_loss_over_whole_trajectories_is_not_cut_into_pieces():
    for name in ("dice", "loaded-dice"):
        assert cartpole(chunk=None, surrogate=surrogate(name)).pieces is None
        with pytest.raises(UsageError, match="no sum over single steps"):
            cartpole(chunk=8, surrogate=surrogate(name))
    assert cartpole(chunk=8, surrogate=surrogate("lvc")).pieces is not None
