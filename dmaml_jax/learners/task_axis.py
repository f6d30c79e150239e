"""The axis of tasks: a function of one task, over all tasks of an epoch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dmaml_jax.types import PyTree, Source, Task

TASK_AXIS = "task"
_LANE_AXIS = "lane of the task"


def collection_keys(key: jax.Array, tasks: Task, num_collections: int) -> jax.Array:
    """A key per task and collection, `[M, num_collections]`, from a step's key."""
    return collection_rounds(key, tasks, num_collections, 1)[0]


def collection_rounds(
    key: jax.Array, tasks: Task, num_collections: int, num_rounds: int
) -> jax.Array:
    """Keys of several rounds of collections, `[num_rounds, M, num_collections]`.

    The first round's are those that a learner with one round has.
    """
    key_collections, _ = jax.random.split(key)
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    return jax.random.split(key_collections, (num_rounds, num_tasks, num_collections))


def modifier_key(key: jax.Array) -> jax.Array:
    """The half of a step's key that the learner itself leaves alone."""
    _, key_modifier = jax.random.split(key)
    return key_modifier


def over_tasks(
    f: Callable[[Source, Task], PyTree], sources: Source, tasks: Task
) -> PyTree:
    """`f(sources_i, task_i)` for every task, stacked on axis 0.

    Where the program spreads tasks over devices (a mesh axis named `TASK_AXIS`), each
    device does its share and hands it to all; a share that is not full repeats the
    last task, and what comes of that is dropped.

    Args:
        f: `(sources_i, task_i) -> pytree`, the function of one task.
        sources: keys or stored data of each task's collections, leaves `[M, …]`.
        tasks: M of them, stacked on axis 0.

    Returns:
        M values, stacked on axis 0.
    """
    mapped = jax.vmap(f, axis_name=_LANE_AXIS)
    num_shares = _num_shares()
    if num_shares == 1:
        return mapped(sources, tasks)
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    size = -(-num_tasks // num_shares)
    start = jax.lax.axis_index(TASK_AXIS) * size
    share = jnp.minimum(start + jnp.arange(size, dtype=jnp.int32), num_tasks - 1)
    own = jax.tree.map(lambda leaf: leaf[share], (sources, tasks))
    every = jax.lax.all_gather(mapped(*own), TASK_AXIS, tiled=True)
    return jax.tree.map(lambda leaf: leaf[:num_tasks], every)


def mean_of_others(value: jax.Array, num_tasks: int) -> jax.Array:
    """Mean of a scalar over the other tasks, for use within the `f` of `over_tasks`.

    Args:
        value: the scalar of this task.
        num_tasks: M, the number of all tasks, 2 or more.
    """
    every = jax.lax.all_gather(value, _LANE_AXIS)
    if _num_shares() > 1:
        every = jax.lax.all_gather(every, TASK_AXIS, tiled=True)
    return (jnp.sum(every[:num_tasks]) - value) / (num_tasks - 1)


def mean_over_tasks(tree: PyTree) -> PyTree:
    """The mean over axis 0 of every leaf."""
    return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), tree)


def share_of(indices: jax.Array) -> tuple[jax.Array, bool]:
    """What this device has to do of something that is summed over indices.

    Args:
        indices: the indices of the things that are summed, `[n]`.

    Returns:
        Its part of them, and whether there are others; all of them and False where
        one device has the seed to itself, or where its devices do not divide them.
    """
    num_shares = _num_shares()
    if num_shares == 1 or indices.shape[0] % num_shares:
        return indices, False
    return indices.reshape(num_shares, -1)[jax.lax.axis_index(TASK_AXIS)], True


def sum_of_shares(tree: PyTree) -> PyTree:
    """The sum over the devices of what each one has for its share."""
    return jax.lax.psum(tree, TASK_AXIS)


def _num_shares() -> int:
    """Over how many devices a program spreads the tasks of one seed."""
    try:
        return jax.lax.axis_size(TASK_AXIS)
    except NameError:  # no such axis around us
        return 1
