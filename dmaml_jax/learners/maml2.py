"""MAML² (Fu et al. 2023) as far as its authors state it: a start for each kind of task.

    learn θ on a bank of tasks by a base learner, until there is something to compare
    categories ← clusters of θ*_i − θ, θ*_i adapted from θ to task i of the bank
    each epoch:   θ_c ← the base learner's step from θ_c on tasks of category c
                  θ ← the base learner's step from θ on as many tasks of each category

A new task starts from θ. After its first update it starts anew, from the θ_c that the
update points to.
"""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners import registry
from dmaml_jax.learners.bank import bank_of
from dmaml_jax.learners.branches import only_where
from dmaml_jax.learners.categories import (
    Sorted,
    batches,
    counting,
    sorted_at_random,
    sorted_by_adaptation,
    unsorted,
)
from dmaml_jax.learners.inner_loop import Rates
from dmaml_jax.learners.kinds import (
    CategoriesState,
    Trained,
    begun,
    copies,
    kind_pointed_to,
    silhouettes,
    trained_kinds,
    untrained,
)
from dmaml_jax.learners.maml2_options import Options as Options  # its owner's place
from dmaml_jax.learners.maml2_options import (
    second_order_learners as second_order_learners,
)
from dmaml_jax.types import Info, MetaLearner, OuterRule, Params, Problem, Task


def maml2(
    problem: Problem,
    *,
    inner_lr: Rates,
    meta_optimizer: optax.GradientTransformation | OuterRule,
    num_inner_steps: int = 1,
    base: str = "maml",
    categories: int = 3,
    bank_tasks: int = 40,
    warm_up_epochs: int = 50,
    sorting: Literal["adapted", "random"] = "adapted",
    sorting_steps: int = 10,
    sort_every: int = 100,
    readapt: bool = True,
    bank: Task | None = None,
) -> MetaLearner:
    r"""Meta-learning twice: θ_c of each category of tasks, and θ of all of them.

    Its authors state that training tasks are told apart by their learned parameters,
    that each category has a meta-parameter θ_c and their gradients make one of all
    tasks, θ, and that a new task starts from θ and is reset to a θ_c by the tendency of
    its first update. Everything else here is ours, and cannot be held against theirs:

    - The tasks are a bank, drawn once. What the caller samples in an epoch says how
      many of the bank the epoch takes, and no more.
    - The categories are clusters, by k-means, of θ*_i − θ, found after some epochs of θ
      alone and again every so often, keeping their names. θ*_i takes more steps than
      the inner loop, so that noise does not rule it: `Info.extras` has the silhouette
      of the categories, and in `silhouette_shuffled` that of shuffled data.
    - θ_c starts as θ, with all of the base learner's state, and takes an epoch of the
      base learner on tasks of its category whenever θ does. One without tasks waits.
    - θ takes the base learner's step on as many tasks of each category: the mean of the
      categories' meta-gradients at θ. The places of a category without tasks go to the
      others in turn, so that those weigh alike over the epochs, and not in each.
    - The tendency is argmax_c cos(θ'_1 − θ, θ_c − θ). A θ_c that is θ cannot be chosen,
      and where none can, adaptation is the base learner's.

    Environment steps count those of θ, of every category, and of sorting. With one
    category it is the base learner on the bank, and costs no more.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        inner_lr: α, the step size of the inner loop; a scalar, traced or not.
        meta_optimizer: takes the meta-gradient of θ, and that of every θ_c.
        num_inner_steps: N, how many gradient steps the inner loop takes.
        base: the name of a second-order learner; its own options are the defaults.
        categories: k.
        bank_tasks: B, how many tasks are drawn.
        warm_up_epochs: epochs of θ alone.
        sorting: "adapted" as said; "random" draws the categories, as a control.
        sorting_steps: steps of adaptation that make θ*_i.
        sort_every: epochs after which tasks are sorted anew; 0 for never.
        readapt: whether a new task is reset to a θ_c.
        bank: tasks stacked on axis 0, in place of those that are drawn.

    Returns:
        The learner.

    References:
        Fu et al.: MAML², Frontiers of Computer Science 17, 2023,
        doi 10.1007/s11704-022-2037-1.
    """
    learner_on = partial(
        _base_learner,
        base,
        inner_lr=inner_lr,
        meta_optimizer=meta_optimizer,
        num_inner_steps=num_inner_steps,
    )
    learner, of_cost = learner_on(problem), learner_on(counting(problem))
    store = bank_of(problem, bank_tasks, bank)
    is_due = partial(_is_due, 0 if sorting == "random" else sort_every)

    def init(key: jax.Array) -> CategoriesState:
        state = learner.init(key)
        return CategoriesState(
            state, copies(state, categories), store.empty(), unsorted(store.size)
        )

    def sort(key: jax.Array, state: CategoriesState) -> Sorted:
        if sorting == "random":
            return sorted_at_random(key, store.size, categories)
        return sorted_by_adaptation(
            key,
            lambda key, task: of_cost.adapt(key, state.base, task, sorting_steps),
            state.params,
            store.pick(state.bank, jnp.arange(store.size)),
            state.sorted.labels,
            categories,
        )

    def with_categories(
        key: jax.Array, state: CategoriesState, past: jax.Array
    ) -> CategoriesState:
        """Sorted anew where that is due, and with every θ_c begun after the warm-up."""
        if categories == 1:
            return state
        found = only_where(is_due(past), lambda: sort(key, state), state.sorted)
        return begun(state._replace(sorted=found), past == 0, categories)

    def told(
        info: Info, state: CategoriesState, past: jax.Array, kinds: Trained
    ) -> Info:
        """The info of θ's epoch, with the cost of the categories and their extras."""
        cost = jnp.where(is_due(past), state.sorted.num_steps, 0) + kinds.num_steps
        extras = {"return_categories": kinds.reached}
        if sorting == "adapted":
            extras |= silhouettes(state.sorted, past >= 0)
        return info._replace(
            num_steps=info.num_steps + cost, extras={**info.extras, **extras}
        )

    def step(
        key: jax.Array, state: CategoriesState, tasks: Task
    ) -> tuple[CategoriesState, Info]:
        key_own, _ = jax.random.split(key)
        key_bank, key_sort, key_batch, key_all, key_each = jax.random.split(key_own, 5)
        state = state._replace(bank=store.filled(key_bank, state.bank, state.epoch))
        past = state.epoch - warm_up_epochs
        state = with_categories(key_sort, state, past)
        size = -(-jax.tree.leaves(tasks)[0].shape[0] // categories)
        batch = batches(key_batch, state.sorted.labels, categories, size)
        of_all = store.pick(state.bank, batch.of_all)
        base, info = learner.step(key_all, state.base, of_all)
        if categories == 1:
            return state._replace(base=base), info

        kinds = only_where(
            past >= 0,
            lambda: trained_kinds(key_each, learner, store, state, batch),
            untrained(state, info),
        )
        info = told(info, state, past, kinds)
        return state._replace(base=base, kinds=kinds.states), info

    def adapt(
        key: jax.Array, state: CategoriesState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        if categories == 1 or not readapt or num_steps == 0:
            return learner.adapt(key, state.base, task, num_steps)
        key_first, key_again = jax.random.split(key)
        found = learner.adapt(key_first, state.base, task, num_steps)
        moved = jax.tree.map(lambda leaf: leaf[1], found[0])
        kind, is_one = kind_pointed_to(state, moved, categories, warm_up_epochs)
        again = learner.adapt(key_again, kind, task, num_steps - 1)
        return jax.tree.map(partial(_from_the_first_on, is_one), found, again)

    return MetaLearner(init, step, adapt)


def _base_learner(base: str, problem: Problem, **common: Any) -> MetaLearner:
    """A learner by its name, with its own options at their defaults."""
    own = registry.own_options(registry.options_class(base)())
    fixed = registry.entry(base).fixed
    return registry.find(base)(problem, **common, **{**fixed, **own})


def _is_due(sort_every: int, past: jax.Array) -> jax.Array:
    """Whether tasks are sorted, so many epochs after the warm-up."""
    if sort_every == 0:
        return past == 0
    return (past >= 0) & (past % sort_every == 0)


def _from_the_first_on(anew: jax.Array, old: jax.Array, new: jax.Array) -> jax.Array:
    """The old path, and from its first step on the new one where it begins anew."""
    return jnp.concatenate([old[:1], jnp.where(anew, new, old[1:])])
