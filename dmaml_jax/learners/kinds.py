"""The states of a learner that learns θ and a θ_c of each category of tasks."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.learners.bank import Leaves
from dmaml_jax.learners.categories import Sorted
from dmaml_jax.types import Params, PyTree


class CategoriesState(NamedTuple):
    """The base learner's states, the bank, and its categories.

    Attributes:
        base: the base learner's state with θ.
        kinds: the base learner's states with the θ_c, stacked on axis 0.
        bank: the leaves of B tasks, drawn in the first epoch.
        sorted: the categories, as they were found last.
    """

    base: Any
    kinds: Any
    bank: Leaves
    sorted: Sorted

    @property
    def params(self) -> Params:
        """θ, which is the base learner's."""
        return self.base.params

    @property
    def epoch(self) -> jax.Array:
        """Epochs done, which the base learner counts."""
        return self.base.epoch


class Trained(NamedTuple):
    """An epoch of the categories: their states, and what was seen of them.

    Attributes:
        kinds: the base learner's states with the θ_c, stacked on axis 0.
        num_steps: environment steps of all of them, int32.
        reached: mean return after adaptation, each category weighing alike.
    """

    kinds: Any
    num_steps: jax.Array
    reached: jax.Array


def begun(state: CategoriesState, now: jax.Array, num: int) -> CategoriesState:
    """With every θ_c at θ, where they begin now."""
    kinds = jax.tree.map(
        lambda new, old: jnp.where(now, new, old), copies(state.base, num), state.kinds
    )
    return state._replace(kinds=kinds)


def silhouettes(found: Sorted, started: jax.Array) -> dict[str, jax.Array]:
    """What is shown of the categories; nothing before there are any."""
    shown = {"silhouette": found.silhouette, "silhouette_shuffled": found.shuffled}
    return {name: jnp.where(started, x, jnp.nan) for name, x in shown.items()}


def copies(state: PyTree, num: int) -> PyTree:
    """As many times the same state, stacked on axis 0."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num, *leaf.shape)), state)


def where_filled(filled: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    """The new of the categories that have tasks, and the old of the others."""
    return jax.tree.map(
        lambda n, o: jnp.where(filled.reshape(-1, *[1] * (n.ndim - 1)), n, o), new, old
    )
