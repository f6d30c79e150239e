"""A bank of tasks in a learner's state: drawn once, and the same from then on."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.types import Problem, Task

Leaves = list[jax.Array]
"""The leaves of stacked tasks: a state of plain arrays, whatever class tasks have."""


class Bank(NamedTuple):
    """What can be done with a bank.

    Attributes:
        size: B, how many tasks it has.
        empty: `() -> leaves`, before anything is drawn.
        filled: `(key, leaves, epoch) -> leaves`, drawn where the epoch is 0.
        pick: `(leaves, numbers) -> tasks`, stacked on axis 0.
    """

    size: int
    empty: Callable[[], Leaves]
    filled: Callable[[jax.Array, Leaves, jax.Array], Leaves]
    pick: Callable[[Leaves, jax.Array], Task]


def bank_of(problem: Problem, num: int, given: Task | None = None) -> Bank:
    """A bank of tasks.

    Args:
        problem: the problem whose law of tasks the bank is drawn from.
        num: how many tasks are drawn.
        given: tasks stacked on axis 0, in place of those that are drawn.
    """

    def draw(key: jax.Array) -> Task:
        if given is None:
            return problem.sample_tasks(key, num)
        return jax.tree.map(jnp.asarray, given)

    like = jax.eval_shape(draw, jax.random.key(0))
    shapes, structure = jax.tree.flatten(like)

    def filled(key: jax.Array, leaves: Leaves, epoch: jax.Array) -> Leaves:
        # Drawn in every epoch, which costs less than a branch that lanes must share.
        drawn = jax.tree.leaves(draw(key))
        return [
            jnp.where(epoch == 0, new, old)
            for new, old in zip(drawn, leaves, strict=True)
        ]

    return Bank(
        size=shapes[0].shape[0],
        empty=lambda: [jnp.zeros(leaf.shape, leaf.dtype) for leaf in shapes],
        filled=filled,
        pick=lambda leaves, numbers: structure.unflatten(
            [leaf[numbers] for leaf in leaves]
        ),
    )
