"""Categories of a bank of tasks: how they are found, and which tasks an epoch takes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dmaml_jax.learners.base import cosine
from dmaml_jax.learners.clusters import (
    k_means,
    matched,
    shuffled,
    silhouette,
    squared_distances,
)
from dmaml_jax.learners.task_axis import over_tasks
from dmaml_jax.types import Params, Problem, Task


class Sorted(NamedTuple):
    """The categories of a bank of B tasks.

    Attributes:
        labels: the category of each task, int32 `[B]`.
        silhouette: how well the categories are apart, from −1 to 1.
        shuffled: the silhouette that k-means reaches where there is nothing to find.
        num_steps: the environment steps that it took, int32.
    """

    labels: jax.Array
    silhouette: jax.Array
    shuffled: jax.Array
    num_steps: jax.Array


class Batches(NamedTuple):
    """Which tasks of the bank an epoch takes, by their numbers.

    Attributes:
        of_each: tasks of every category, `[k, m]`; any tasks for an empty one.
        of_all: as many of each category that has any, `[k · m]`.
        filled: which categories have any, `[k]`.
    """

    of_each: jax.Array
    of_all: jax.Array
    filled: jax.Array


def counting(problem: Problem) -> Problem:
    """The same problem, where a policy's performance is what collecting costs.

    A learner's `adapt` tells the performance after every step: so it tells the cost.
    """

    def cost(data: Any) -> jax.Array:
        return problem.num_steps(data).astype(jnp.result_type(float))

    return problem._replace(performance=cost)


def sorted_by_adaptation(
    key: jax.Array,
    adapt: Callable[[jax.Array, Task], tuple[Params, jax.Array]],
    start: Params,
    bank: Task,
    old: jax.Array,
    num: int,
) -> Sorted:
    """Clusters of θ*_i − θ, what adaptation changes on each task, by k-means.

    Args:
        key: the random key of adaptation and clustering.
        adapt: `(key, task) -> (path, costs)`, θ after 0 … n steps and the environment
            steps that each collected, as a learner of a `counting` problem has them.
        start: θ, where adaptation begins.
        bank: B tasks, stacked on axis 0.
        old: labels whose names the new ones take over, `[B]`.
        num: k, the number of categories.
    """
    key_adapt, key_means, key_shuffle, key_null = jax.random.split(key, 4)

    def of_task(key: jax.Array, task: Task) -> tuple[jax.Array, jax.Array]:
        path, costs = adapt(key, task)
        away = jax.tree.map(lambda leaf, at: leaf[-1] - at, path, start)
        # The last collection is for show: nothing is learned from it.
        return ravel_pytree(away)[0], jnp.sum(costs[:-1])

    points, costs = over_tasks(of_task, jax.random.split(key_adapt, len(old)), bank)
    # One task whose adaptation diverges must not blur the others' categories.
    finite = jnp.isfinite(points).all(axis=1, keepdims=True)
    points = jnp.where(finite, points, 0)
    squares = squared_distances(points)
    labels = matched(k_means(key_means, squares, num), old, num)
    null = squared_distances(shuffled(key_shuffle, points))
    dtype = jnp.result_type(float)
    return Sorted(
        labels=labels,
        silhouette=silhouette(squares, labels, num).astype(dtype),
        shuffled=silhouette(null, k_means(key_null, null, num), num).astype(dtype),
        num_steps=jnp.sum(costs).astype(jnp.int32),
    )


def sorted_at_random(key: jax.Array, size: int, num: int) -> Sorted:
    """Categories of B tasks drawn at random, which cost nothing: a control."""
    labels = jax.random.randint(key, (size,), 0, num, jnp.int32)
    return unsorted(size)._replace(labels=labels)


def unsorted(size: int) -> Sorted:
    """B tasks of one category, before any are found."""
    zero = jnp.zeros(())
    return Sorted(jnp.zeros(size, jnp.int32), zero, zero, jnp.int32(0))


def has_tasks(labels: jax.Array, num: int) -> jax.Array:
    """Which of k categories have any of the bank's tasks, `[k]`."""
    return (labels == jnp.arange(num, dtype=jnp.int32)[:, None]).any(axis=1)


def batches(key: jax.Array, labels: jax.Array, num: int, size: int) -> Batches:
    """Draw as many tasks of each category, its members in a random order.

    Where a category has fewer members, they come again, and get fresh data each time.
    In the batch of all, the places of empty categories go to the others in turn.

    Args:
        key: the random key of the orders.
        labels: the category of each task of the bank, `[B]`.
        num: k, the number of categories.
        size: m, how many tasks of each category are drawn.
    """
    key_order, key_turn = jax.random.split(key)
    names = jnp.arange(num, dtype=jnp.int32)
    own = labels == names[:, None]
    draws = jax.random.uniform(key_order, own.shape)
    order = jnp.argsort(jnp.where(own, draws, 2), axis=1)  # members come first
    counts = jnp.sum(own, axis=1, dtype=jnp.int32)
    places = jnp.arange(size, dtype=jnp.int32)
    index = places % jnp.maximum(counts, 1)[:, None]

    filled = counts > 0
    num_filled = jnp.sum(filled, dtype=jnp.int32)
    # Whoever is first gets what is left over: in the mean all weigh alike.
    turn = jax.random.randint(key_turn, (), 0, num_filled, jnp.int32)
    rows = jnp.argsort(~filled, stable=True)[(names + turn) % num_filled]
    round_of = names // num_filled
    others = (round_of[:, None] * size + places) % counts[rows][:, None]
    return Batches(
        of_each=jnp.take_along_axis(order, index, axis=1),
        of_all=jnp.ravel(order[rows[:, None], others]),
        filled=filled,
    )


def pointed_to(
    start: Params, moved: Params, kinds: Params, filled: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The θ_c that an update points to, argmax_c cos(θ' − θ, θ_c − θ).

    Args:
        start: θ, where adaptation begins.
        moved: θ'.
        kinds: the θ_c, stacked on axis 0.
        filled: which categories have tasks, `[k]`; others cannot be chosen.

    Returns:
        c, and whether there is one: not where θ' is θ or no longer finite, and never a
        θ_c that is θ.
    """
    update = jax.tree.map(jnp.subtract, moved, start)

    def score(kind: Params) -> jax.Array:
        away = jax.tree.map(jnp.subtract, kind, start)
        reaches = ravel_pytree(away)[0].any()
        return jnp.where(reaches, cosine(update, away), -jnp.inf)

    scores = jnp.where(filled, jax.vmap(score)(kinds), -jnp.inf)
    best, flat = jnp.argmax(scores), ravel_pytree(update)[0]
    points = flat.any() & jnp.isfinite(flat).all()
    return best, points & jnp.isfinite(scores[best])
