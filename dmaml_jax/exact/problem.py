"""Exact expectations: every trajectory and every data set of a small MDP, summed over.

An `enumerated_problem` is a `Problem` whose `collect` does not sample but reads out of
its key which data set to return. Learners run on it unchanged, and what they estimate
is summed over all data sets with their probabilities, free of sampling noise.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.exact.data_sets import DataSets, Paths, trajectories
from dmaml_jax.learners.derivatives import inner_steps
from dmaml_jax.rl.objectives import Objective, trajectory_log_probs
from dmaml_jax.rl.returns import discount_powers
from dmaml_jax.types import Params, Policy, Problem, Task, Trajectory

_ROWS, _EVERY, _FIRST_SINGLE = 0, 1, 2


class Batch(NamedTuple):
    """What an enumerated problem collects.

    Attributes:
        rows: a data set of K trajectories.
        every: all n trajectories.
        shares: their weights where all are asked for: the probabilities, or one of
            them alone, `[n]`.
        sampled: whether `rows` is what was asked for.
        chance: the probability of having collected just this.
    """

    rows: Trajectory
    every: Trajectory
    shares: jax.Array
    sampled: jax.Array
    chance: jax.Array


def key_of(number: Any, *, every: bool = False, single: Any = None) -> jax.Array:
    """The key with which an enumerated problem collects what is asked for.

    Args:
        number: of the data set.
        every: all trajectories, weighted by their probabilities, instead.
        single: the number of one trajectory, instead.

    Returns:
        A key.
    """
    mode = _ROWS if not every else _EVERY
    mode = mode if single is None else single + _FIRST_SINGLE
    words = [jnp.asarray(word, jnp.uint32) for word in (number, mode)]
    return jax.random.wrap_key_data(jnp.stack(words))


def enumerated_problem(
    policy: Policy,
    objective: Objective,
    ways: Paths,
    sets: DataSets,
    *,
    discount: float,
    outer: Objective | None = None,
) -> Problem:
    """A `Problem` on a tabular MDP whose `collect` returns the data set of its key.

    Every loss is the objective's own. Where the key asks for every trajectory, it sees
    all of them, weighted by their probabilities in place of 1/K, and is exact.

    Args:
        policy: π_θ.
        objective: advantages and losses.
        ways: all paths of the MDP.
        sets: all data sets.
        discount: γ.
        outer: another objective for losses of every trajectory, where the first one
            mixes trajectories (a baseline, normalisation).

    Returns:
        The problem; its tasks are parameters of a `TabularMDP`, and it cannot sample
        them.
    """
    num_paths, horizon = ways.actions.shape
    of_every = outer or objective

    def collect(key: jax.Array, params: Params, task: Task) -> Batch:
        number, mode = jax.random.key_data(key).astype(jnp.int32)
        # The data are given: that their probability depends on θ is what a score term
        # is for, and none of a learner's derivatives may see it here.
        params = jax.lax.stop_gradient(params)
        every, dynamics = trajectories(task, ways)
        log_probs = trajectory_log_probs(policy, params, every)
        every = every._replace(log_probs=log_probs)
        probabilities = dynamics * jnp.exp(jnp.sum(log_probs, axis=1))
        picked = jnp.asarray(sets.rows)[number]
        orders = jnp.asarray(sets.orders, dynamics.dtype)[number]
        single = jax.nn.one_hot(mode - _FIRST_SINGLE, num_paths, dtype=dynamics.dtype)
        is_rows, is_every = mode == _ROWS, mode == _EVERY
        return Batch(
            rows=jax.tree.map(lambda leaf: leaf[picked], every),
            every=every,
            shares=jnp.where(is_every, probabilities, single),
            sampled=is_rows,
            chance=jnp.where(
                is_rows,
                orders * jnp.prod(probabilities[picked]),
                jnp.where(is_every, 1, single @ probabilities),
            ),
        )

    def advantages(params: Params, data: Batch) -> Batch:
        every = of_every.advantages(params, data.every)
        assert every.weights is not None
        shares = num_paths * data.shares[:, None]
        return data._replace(
            rows=objective.advantages(params, data.rows),
            every=every._replace(weights=every.weights * shares),
        )

    def inner_loss(params: Params, data: Batch) -> jax.Array:
        return jnp.where(
            data.sampled,
            objective.inner_loss(params, data.rows),
            of_every.inner_loss(params, data.every),
        )

    def outer_loss(params: Params, data: Batch) -> jax.Array:
        return jnp.where(
            data.sampled,
            objective.outer_loss(params, data.rows),
            of_every.outer_loss(params, data.every),
        )

    def expected(data: Batch) -> jax.Array:
        powers = discount_powers(discount, horizon, data.rows.rewards.dtype)
        return jnp.where(
            data.sampled,
            jnp.mean(data.rows.rewards @ powers),
            data.shares @ (data.every.rewards @ powers),
        )

    return Problem(
        init=lambda key: policy.init(key, jnp.zeros(ways.states.max() + 1)),
        sample_tasks=_cannot_sample,
        medium_task=_cannot_sample,
        collect=collect,
        advantages=advantages,
        inner_loss=inner_loss,
        outer_loss=outer_loss,
        objective=expected,
        log_probs=lambda params, data: trajectory_log_probs(policy, params, data.rows),
        performance=lambda data: jnp.mean(jnp.sum(data.rows.rewards, axis=1)),
        num_steps=lambda data: jnp.sum(data.rows.alive, dtype=jnp.int32),
    )


def _cannot_sample(*_: Any) -> Task:
    raise NotImplementedError("an enumerated problem is given its tasks")


def likelihood(
    problem: Problem, keys: jax.Array, params: Params, task: Task, inner_lr: Any
) -> jax.Array:
    """Probability that a learner meets the data of its keys.

    Each data set is drawn by the parameters that those before it have led to.

    Args:
        problem: an enumerated one.
        keys: of the inner steps and the outer one, `[N + 1]`.
        params: θ.
        task: parameters of the MDP.
        inner_lr: α.

    Returns:
        Π_j P(𝒟_j; θ_j).
    """
    adapted, seen = inner_steps(
        problem, keys[:-1], params, task, inner_lr=inner_lr, first_order=True
    )
    last = problem.collect(keys[-1], adapted, task)
    return jnp.stack([*(step.data.chance for step in seen), last.chance]).prod()


def expected_return(
    policy: Policy, params: Params, mdp: Any, ways: Paths, *, discount: float
) -> jax.Array:
    """J(θ) = Σ_τ q(τ; θ) Σ_t γ^t r_t, over all trajectories; differentiable in θ."""
    every, dynamics = trajectories(mdp, ways)
    log_probs = trajectory_log_probs(policy, params, every)
    probabilities = dynamics * jnp.exp(jnp.sum(log_probs, axis=1))
    horizon = ways.actions.shape[1]
    return probabilities @ (
        every.rewards @ discount_powers(discount, horizon, dynamics.dtype)
    )


def objective_one(
    policy: Policy,
    params: Params,
    mdp: Any,
    ways: Paths,
    *,
    discount: float,
    inner_lr: float,
    num_inner_steps: int,
) -> jax.Array:
    """J^I(θ) = J(θ_N), θ_{j+1} = θ_j + α ∇J(θ_j): adaptation by the exact gradient."""

    def value(params: Params) -> jax.Array:
        return expected_return(policy, params, mdp, ways, discount=discount)

    for _ in range(num_inner_steps):
        ascent = jax.grad(value)(params)
        params = jax.tree.map(lambda p, g: p + inner_lr * g, params, ascent)
    return value(params)


def objective_two(
    policy: Policy,
    objective: Objective,
    params: Params,
    mdp: Any,
    ways: Paths,
    sets: DataSets,
    *,
    discount: float,
    inner_lr: float,
    num_inner_steps: int,
) -> jax.Array:
    """J^II(θ) = E_𝒟 J(θ_N): adaptation by the gradient of K sampled trajectories.

    The expectation is a sum over data sets, their probabilities written out as
    functions of θ, so that its plain derivative is the exact meta-gradient: no
    surrogate, no score term.
    """
    if num_inner_steps == 0:
        return expected_return(policy, params, mdp, ways, discount=discount)
    every, dynamics = trajectories(mdp, ways)

    def after(rows: jax.Array, orders: jax.Array) -> jax.Array:
        data = jax.tree.map(lambda leaf: leaf[rows], every)
        log_probs = trajectory_log_probs(policy, params, data)
        chance = orders * jnp.prod(dynamics[rows]) * jnp.exp(jnp.sum(log_probs))
        data = objective.advantages(params, data)
        descent = jax.grad(objective.inner_loss)(params, data)
        adapted = jax.tree.map(lambda p, g: p - inner_lr * g, params, descent)
        return chance * objective_two(
            policy,
            objective,
            adapted,
            mdp,
            ways,
            sets,
            discount=discount,
            inner_lr=inner_lr,
            num_inner_steps=num_inner_steps - 1,
        )

    return jnp.sum(jax.vmap(after)(jnp.asarray(sets.rows), jnp.asarray(sets.orders)))
