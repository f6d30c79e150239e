"""The θ_c of categories of tasks: how they begin, learn, and are chosen."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.learners.bank import Bank, Leaves
from dmaml_jax.learners.categories import Batches, Sorted, has_tasks, pointed_to
from dmaml_jax.types import Info, MetaLearner, Params, PyTree


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
        states: the base learner's states with the θ_c, stacked on axis 0.
        num_steps: environment steps of all of them, int32.
        reached: mean return after adaptation, each category weighing alike.
    """

    states: Any
    num_steps: jax.Array
    reached: jax.Array


def begun(state: CategoriesState, now: jax.Array, num: int) -> CategoriesState:
    """With every θ_c at θ, where they begin now."""
    kinds = jax.tree.map(
        lambda new, old: jnp.where(now, new, old), copies(state.base, num), state.kinds
    )
    return state._replace(kinds=kinds)


def trained_kinds(
    key: jax.Array,
    learner: MetaLearner,
    store: Bank,
    state: CategoriesState,
    batch: Batches,
) -> Trained:
    """An epoch of the base learner for every category that has tasks.

    Args:
        key: the random key of the epoch, split into one for each category.
        learner: the base learner, which trains each θ_c for an epoch.
        store: the bank that the numbers of the tasks refer to.
        state: the learner's state, with the θ_c before the epoch.
        batch: which tasks each category takes.
    """
    keys = jax.random.split(key, batch.of_each.shape[0])
    tasks = store.pick(state.bank, batch.of_each)
    kinds, info = jax.vmap(learner.step)(keys, state.kinds, tasks)
    filled = batch.filled.astype(info.return_after.dtype)
    return Trained(
        where_filled(batch.filled, kinds, state.kinds),
        jnp.sum(jnp.where(batch.filled, info.num_steps, 0), dtype=jnp.int32),
        jnp.sum(filled * info.return_after) / jnp.sum(filled),
    )


def untrained(state: CategoriesState, info: Info) -> Trained:
    """An epoch in which the categories wait, shaped like one in which they learn."""
    nothing = jnp.full_like(info.return_after, jnp.nan)
    return Trained(state.kinds, jnp.int32(0), nothing)


def kind_pointed_to(
    state: CategoriesState, moved: Params, num: int, warm_up_epochs: int
) -> tuple[Any, jax.Array]:
    """The base learner's state with the θ_c that an update points to.

    Args:
        state: the learner's state, with θ and the θ_c.
        moved: θ after its first update on a new task.
        num: k, the number of categories.
        warm_up_epochs: in how many first epochs θ alone is trained.

    Returns:
        The state, and whether there is such a θ_c.
    """
    filled = has_tasks(state.sorted.labels, num)
    chosen, is_one = pointed_to(state.params, moved, state.kinds.params, filled)
    # Before its first epoch a θ_c is what θ was once, and no category's.
    is_one = is_one & (state.epoch > warm_up_epochs)
    return jax.tree.map(lambda leaf: leaf[chosen], state.kinds), is_one


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
