"""Exact expectations: every trajectory and every data set of a small MDP, summed over.

An `enumerated_problem` is a `Problem` whose `collect` does not sample but reads out of
its key which data set to return. Learners run on it unchanged, and what they estimate
is summed over all data sets with their probabilities, free of sampling noise.
"""

import math
from collections.abc import Callable
from itertools import combinations_with_replacement, product
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.adapt import inner_steps
from dmaml_jax.objectives import Objective, trajectory_log_probs
from dmaml_jax.returns import discount_powers
from dmaml_jax.types import Params, Policy, Problem, PyTree, Task, Trajectory

_ROWS, _EVERY, _FIRST_SINGLE = 0, 1, 2


class Paths(NamedTuple):
    """Every way through an MDP of S states and A actions in at most H steps.

    Attributes:
        states: `[n, H]`, the last one repeated after the end.
        actions: `[n, H]`, 0 after the end.
        lengths: steps taken, `[n]`.
        ended: whether it ended before the horizon, `[n]`.
    """

    states: np.ndarray
    actions: np.ndarray
    lengths: np.ndarray
    ended: np.ndarray


def paths(
    num_states: int, num_actions: int, horizon: int, *, can_end: bool = False
) -> Paths:
    """All paths; (S·A)^H of them where episodes cannot end early.

    Args:
        num_states: S.
        num_actions: A.
        horizon: H.
        can_end: whether episodes may end by themselves. Whether one does so with its
            last step makes no difference and is not told apart.

    Returns:
        The paths.

    Example:
        >>> [len(paths(2, 2, h, can_end=h == 3).states) for h in (2, 3)]
        [16, 84]
    """
    steps = list(product(range(num_states), range(num_actions)))
    found = []
    for length in range(1 if can_end else horizon, horizon + 1):
        for way in product(steps, repeat=length):
            states, actions = zip(*way, strict=True)
            rest = horizon - length
            found.append(
                ([*states, *states[-1:] * rest], [*actions, *[0] * rest], length)
            )
    states, actions, lengths = (np.array(column) for column in zip(*found, strict=True))
    return Paths(states, actions, lengths, lengths < horizon)


def trajectories(mdp: Any, ways: Paths) -> tuple[Trajectory, jax.Array]:
    """Paths as trajectories of an MDP, with the probability of its dynamics.

    Args:
        mdp: parameters of a `TabularMDP`; they may be traced.
        ways: n paths.

    Returns:
        The trajectories, `[n, H]`, and the product of the probabilities of start,
        transitions and endings along each, `[n]`; times Π π(a|s) it is q(τ).
    """
    num, horizon = ways.actions.shape
    alive = np.arange(horizon) < ways.lengths[:, None]
    last = alive & ~np.roll(alive, -1, axis=1)
    last[:, -1] = alive[:, -1]
    here = (ways.states, ways.actions)
    end = mdp.termination[here]
    moves = mdp.transitions[(*(x[:, :-1] for x in here), ways.states[:, 1:])]
    goes_on = jnp.where(~last[:, :-1] & alive[:, :-1], (1 - end[:, :-1]) * moves, 1)
    ends = jnp.where((last & ways.ended[:, None])[:, :-1], end[:, :-1], 1)
    dynamics = mdp.start[ways.states[:, 0]] * jnp.prod(goes_on * ends, axis=1)
    obs = jax.nn.one_hot(
        np.concatenate([ways.states, ways.states[:, -1:]], axis=1),
        mdp.start.shape[0],
        dtype=dynamics.dtype,
    )
    data = Trajectory(
        obs=obs,
        actions=jnp.asarray(ways.actions, jnp.int32),
        log_probs=jnp.zeros((num, horizon), dynamics.dtype),
        rewards=jnp.where(alive, mdp.rewards[here], 0),
        alive=jnp.asarray(alive),
        terminated=jnp.asarray(last & ways.ended[:, None]),
    )
    return data, dynamics


class DataSets(NamedTuple):
    """Every data set of K trajectories out of n, in any order.

    Attributes:
        rows: the trajectories' numbers, `[m, K]`.
        orders: in how many orders each data set may be drawn, `[m]`.
    """

    rows: np.ndarray
    orders: np.ndarray


def num_data_sets(num_paths: int, size: int) -> int:
    """How many data sets of `size` trajectories there are: C(n + K − 1, K)."""
    return math.comb(num_paths + size - 1, size)


def data_sets(num_paths: int, size: int) -> DataSets:
    """All data sets of K trajectories.

    Args:
        num_paths: n.
        size: K.

    Returns:
        C(n + K − 1, K) data sets; the orders are K! over the factorials of how often
        each trajectory occurs.

    Example:
        >>> data_sets(2, 2).orders
        array([1., 2., 1.])
    """
    rows = np.array(list(combinations_with_replacement(range(num_paths), size)))
    orders = np.full(len(rows), float(math.factorial(size)))
    # Sorted rows: the j-th of equal neighbours divides by j, and j! in all.
    run = np.ones(len(rows))
    for column in range(1, size):
        run = np.where(rows[:, column] == rows[:, column - 1], run + 1, 1)
        orders /= run
    return DataSets(rows, orders)


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


def sum_over(
    f: Callable[[jax.Array], PyTree], numbers: np.ndarray, batch_size: int = 4096
) -> PyTree:
    """Σ f(numbers) over the rows: of probability · value, an expectation.

    Args:
        f: of one row.
        numbers: every combination of data sets, `[m, …]`.
        batch_size: how many are looked at at a time.

    Returns:
        The sum, shaped like f's value.
    """
    chex.assert_rank(numbers, 2)
    batch_size = min(batch_size, len(numbers))
    padding = -len(numbers) % batch_size
    padded = np.concatenate([numbers, np.repeat(numbers[:1], padding, axis=0)])
    counts = np.arange(len(padded)) < len(numbers)

    def of_batch(batch: tuple[jax.Array, jax.Array]) -> PyTree:
        rows, count = batch
        return jax.tree.map(
            lambda x: jnp.tensordot(count.astype(x.dtype), x, axes=1), jax.vmap(f)(rows)
        )

    batches = (
        jnp.asarray(padded, jnp.uint32).reshape(-1, batch_size, numbers.shape[1]),
        jnp.asarray(counts).reshape(-1, batch_size),
    )
    sums = jax.lax.map(of_batch, batches)
    return jax.tree.map(lambda x: jnp.sum(x, axis=0), sums)


def combinations(*sizes: int) -> np.ndarray:
    """Every combination of numbers below each size, `[Π sizes, len(sizes)]`."""
    return np.stack(np.unravel_index(np.arange(math.prod(sizes)), sizes), axis=1)
