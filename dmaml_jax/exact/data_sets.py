"""All paths and data sets of an MDP small enough to list, and sums over them."""

import math
from collections.abc import Callable
from itertools import combinations_with_replacement, product
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.types import PyTree, Trajectory


class Paths(NamedTuple):
    """Every way through an MDP of S states and A actions in at most H steps.

    Attributes:
        states: `[n, H]`, the last one repeated after the end.
        actions: `[n, H]`, 0 after the end.
        lengths: how many steps each path takes, `[n]`.
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
        num_states: S, the number of states.
        num_actions: A, the number of actions.
        horizon: H, the largest number of steps.
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
        ways: the n paths, as `paths` lists them.

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
        num_paths: n, the number of different trajectories.
        size: K, the number of trajectories in a data set.

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


def sum_over(
    f: Callable[[jax.Array], PyTree], numbers: np.ndarray, batch_size: int = 4096
) -> PyTree:
    """Σ f(numbers) over the rows: of probability · value, an expectation.

    Args:
        f: the summand as a function of one row.
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
