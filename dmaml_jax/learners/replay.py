"""Transitions that are kept on the device, in a ring for every task of a bank.

It is a page of our own and no library's: it needs a window of recent transitions that
can be closed and begun anew (PEARL's context) beside the ring itself, which is three
numbers per task here. Flashbax has the rings; its windows cannot be cleared, and it
installs tensorstore and orbax's savers along with it.

Transitions are a pytree of arrays, whatever they are. Those of a task are counted from
0 as they come; number n lies in slot n mod C, so the newest C of them are there.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.types import PyTree


class Replay(NamedTuple):
    """The transitions of B tasks; a part of a learner's state.

    Attributes:
        items: the transitions, leaves `[B, C, …]`.
        total: how many a task has had in all, `[B]`.
        begin: the number of the context's first transition, `[B]`.
        end: the number after its last one, `[B]`.
    """

    items: PyTree
    total: jax.Array
    begin: jax.Array
    end: jax.Array


def empty(like: PyTree, num_tasks: int, capacity: int) -> Replay:
    """Rings without transitions.

    Args:
        like: one transition, or its shapes and types.
        num_tasks: B, how many rings there are.
        capacity: C, how many transitions each ring keeps.
    """
    zeros = jnp.zeros(num_tasks, jnp.int32)
    items = jax.tree.map(
        lambda leaf: jnp.zeros((num_tasks, capacity, *leaf.shape), leaf.dtype), like
    )
    return Replay(items, zeros, zeros, zeros)


def cleared(replay: Replay, tasks: jax.Array) -> Replay:
    """Begin the context of some tasks anew; their transitions stay.

    Args:
        replay: the rings of all tasks.
        tasks: the numbers of the tasks, `[M]`.
    """
    now = replay.total[tasks]
    return replay._replace(
        begin=replay.begin.at[tasks].set(now), end=replay.end.at[tasks].set(now)
    )


def added(
    replay: Replay, tasks: jax.Array, items: PyTree, mask: jax.Array, *, context: bool
) -> Replay:
    """Add transitions of some tasks.

    Args:
        replay: the rings of all tasks.
        tasks: the numbers of the tasks, each of them once, `[M]`.
        items: N transitions of each, leaves `[M, N, …]`, N at most the capacity.
        mask: which of the transitions there are, `[M, N]`; the others are left out and
            take no slot.
        context: whether they belong to the context. What is added without belonging to
            it ends the context: nothing joins until it is cleared.

    Returns:
        The rings with the transitions, the oldest ones overwritten.
    """
    capacity = jax.tree.leaves(replay.items)[0].shape[1]
    assert mask.shape[1] <= capacity
    order = jnp.cumsum(mask, axis=1, dtype=jnp.int32) - 1
    numbers = replay.total[tasks][:, None] + order
    # A slot beyond the last one is dropped by the scatter.
    slots = jnp.where(mask, numbers % capacity, capacity)
    kept = jax.tree.map(
        lambda ring, new: ring.at[tasks[:, None], slots].set(new, mode="drop"),
        replay.items,
        items,
    )
    total = replay.total.at[tasks].add(jnp.sum(mask, axis=1, dtype=jnp.int32))
    end = replay.end.at[tasks].set(total[tasks]) if context else replay.end
    return replay._replace(items=kept, total=total, end=end)


def sampled(key: jax.Array, replay: Replay, task: jax.Array, num: int) -> PyTree:
    """Transitions of a task, each alike and with replacement.

    Args:
        key: the random key of the draw.
        replay: the rings; that of the task must not be empty.
        task: the number of the task.
        num: how many transitions are drawn.

    Returns:
        The transitions, leaves `[num, …]`.
    """
    return _between(key, replay, task, num, jnp.int32(0), replay.total[task])


def context_of(
    key: jax.Array, replay: Replay, task: jax.Array, num: int
) -> tuple[PyTree, jax.Array]:
    """Transitions of a task's context, each alike and with replacement.

    No more of them count than the context has, so that a belief never has more factors
    than there are transitions.

    Args:
        key: the random key of the draw.
        replay: the rings of all tasks.
        task: the number of the task.
        num: how many transitions are drawn.

    Returns:
        The transitions, leaves `[num, …]`, and which of them count, `[num]`.
    """
    begin, end = replay.begin[task], replay.end[task]
    items = _between(key, replay, task, num, begin, end)
    size = end - jnp.maximum(begin, _oldest(replay, task))
    return items, jnp.arange(num, dtype=jnp.int32) < size


def _between(
    key: jax.Array,
    replay: Replay,
    task: jax.Array,
    num: int,
    begin: jax.Array,
    end: jax.Array,
) -> PyTree:
    """Transitions with numbers from `begin` to below `end` that are still there."""
    begin = jnp.maximum(begin, _oldest(replay, task))
    numbers = jax.random.randint(key, (num,), begin, jnp.maximum(end, begin + 1))
    slots = numbers % jax.tree.leaves(replay.items)[0].shape[1]
    return jax.tree.map(lambda ring: ring[task, slots], replay.items)


def _oldest(replay: Replay, task: jax.Array) -> jax.Array:
    """The number of a task's oldest transition that has not been overwritten."""
    capacity = jax.tree.leaves(replay.items)[0].shape[1]
    return jnp.maximum(replay.total[task] - capacity, 0)
