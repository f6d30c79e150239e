"""MAML² (Fu et al. 2023) as far as its authors state it: a start for each kind of task.

    learn θ on a bank of tasks by a base learner, until there is something to compare
    categories ← clusters of θ*_i − θ, θ*_i adapted from θ to task i of the bank
    each epoch:   θ_c ← the base learner's step from θ_c on tasks of category c
                  θ ← the base learner's step from θ on as many tasks of each category

A new task starts from θ. After its first update it starts anew, from the θ_c that the
update points to.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.errors import UsageError
from dmaml_jax.learners import registry
from dmaml_jax.learners.bank import bank_of
from dmaml_jax.learners.branches import only_where
from dmaml_jax.learners.categories import (
    Batches,
    Sorted,
    batches,
    counting,
    has_tasks,
    pointed_to,
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
    silhouettes,
    where_filled,
)
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.options import COUNT, FROM_0, flag, option
from dmaml_jax.types import (
    Info,
    MetaLearner,
    OuterRule,
    Params,
    Problem,
    Task,
)


@dataclass(frozen=True)
class Options(GradientOptions):
    """The base learner's inner loop and outer step, the bank, and its categories."""

    base: str = option(
        "maml", "Second-order learner of theta and of every category's start."
    )
    categories: int = option(
        3,
        "categories of tasks (ours); 1 is the base learner",
        symbol="k",
        allowed=COUNT,
    )
    bank_tasks: int = option(
        40, "Tasks of the bank, drawn once; an epoch takes some of it.", allowed=COUNT
    )
    warm_up_epochs: int = option(
        50, "Epochs of theta alone, before tasks are sorted (ours).", allowed=FROM_0
    )
    sorting: Literal["adapted", "random"] = option(
        "adapted", "Categories: by what adaptation changes, or at random, as a control."
    )
    sorting_steps: int = option(
        10,
        "Steps of adaptation to each task of the bank that sort it (ours).",
        allowed=COUNT,
        where=("sorting", "adapted"),
    )
    sort_every: int = option(
        100,
        "Epochs after which tasks are sorted anew; 0: never (ours).",
        allowed=FROM_0,
        where=("sorting", "adapted"),
    )
    readapt: bool = option(
        True, "Whether a new task starts anew from a category's start."
    )

    def check(self) -> None:
        """Refuse a base that is none, and what has no effect with one category.

        Raises:
            UsageError: the first contradiction.
        """
        bases = second_order_learners()
        if self.base not in bases:
            raise UsageError(
                f"--base is {self.base}, but it must be a second-order learner: choose "
                f"one of {', '.join(bases)}."
            )
        entry = registry.entry(self.base)
        if self.surrogate not in entry.objectives:
            raise UsageError(
                f"--surrogate {self.surrogate} does not go with --base {self.base}: "
                f"choose one of {', '.join(entry.objectives)}."
            )
        if self.num_inner_steps < entry.min_inner_steps:
            raise UsageError(
                f"--num-inner-steps is {self.num_inner_steps}, but --base {self.base} "
                f"needs {entry.min_inner_steps} or more."
            )
        if self.categories > self.bank_tasks:
            raise UsageError(
                f"--categories is {self.categories}, but the bank has "
                f"{self.bank_tasks} tasks: give fewer, or more --bank-tasks."
            )
        for name in _OF_CATEGORIES if self.categories == 1 else ():
            if getattr(self, name) != getattr(Options, name):
                raise UsageError(
                    f"{flag(name)} has no effect with --categories 1, which is the "
                    "base learner: leave it out, or give more categories."
                )


_OF_CATEGORIES = ("warm_up_epochs", "sorting", "sorting_steps", "sort_every", "readapt")


def second_order_learners() -> list[str]:
    """The names of the learners that may be a base."""
    return [
        name
        for name, entry in registry.LEARNERS.items()
        if entry.order == 2
        and registry.takes_gradients(name)
        and "maml2:" not in entry.path
    ]


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
      categories' meta-gradients at θ.
    - The tendency is argmax_c cos(θ'_1 − θ, θ_c − θ). A θ_c that is θ cannot be chosen,
      and where none can, adaptation is the base learner's.

    Environment steps count those of θ, of every category, and of sorting. With one
    category it is the base learner on the bank, and costs no more.

    Args:
        problem: what is learned.
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

    def learner_on(problem: Problem) -> MetaLearner:
        own = registry.own_options(registry.options_class(base)())
        return registry.find(base)(
            problem,
            inner_lr=inner_lr,
            meta_optimizer=meta_optimizer,
            num_inner_steps=num_inner_steps,
            **{**registry.entry(base).fixed, **own},
        )

    learner, of_cost = learner_on(problem), learner_on(counting(problem))
    store = bank_of(problem, bank_tasks, bank)

    def init(key: jax.Array) -> CategoriesState:
        state = learner.init(key)
        return CategoriesState(
            state, copies(state, categories), store.empty(), unsorted(store.size)
        )

    def is_due(past: jax.Array) -> jax.Array:
        """Whether tasks are sorted, so many epochs after the warm-up."""
        if sorting == "random" or sort_every == 0:
            return past == 0
        return (past >= 0) & (past % sort_every == 0)

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

    def train(key: jax.Array, state: CategoriesState, batch: Batches) -> Trained:
        """An epoch of the base learner for every category that has tasks."""
        keys = jax.random.split(key, categories)
        tasks = store.pick(state.bank, batch.of_each)
        kinds, info = jax.vmap(learner.step)(keys, state.kinds, tasks)
        filled = batch.filled.astype(info.return_after.dtype)
        return Trained(
            where_filled(batch.filled, kinds, state.kinds),
            jnp.sum(jnp.where(batch.filled, info.num_steps, 0), dtype=jnp.int32),
            jnp.sum(filled * info.return_after) / jnp.sum(filled),
        )

    def step(
        key: jax.Array, state: CategoriesState, tasks: Task
    ) -> tuple[CategoriesState, Info]:
        key_own, _ = jax.random.split(key)
        key_bank, key_sort, key_batch, key_all, key_each = jax.random.split(key_own, 5)
        state = state._replace(bank=store.filled(key_bank, state.bank, state.epoch))
        past = state.epoch - warm_up_epochs
        if categories > 1:
            found = only_where(
                is_due(past), lambda: sort(key_sort, state), state.sorted
            )
            state = begun(state._replace(sorted=found), past == 0, categories)

        size = -(-jax.tree.leaves(tasks)[0].shape[0] // categories)
        batch = batches(key_batch, state.sorted.labels, categories, size)
        base, info = learner.step(
            key_all, state.base, store.pick(state.bank, batch.of_all)
        )
        if categories == 1:
            return state._replace(base=base), info

        waiting = Trained(
            state.kinds, jnp.int32(0), jnp.full_like(info.return_after, jnp.nan)
        )
        trained = only_where(past >= 0, lambda: train(key_each, state, batch), waiting)
        cost = jnp.where(is_due(past), state.sorted.num_steps, 0) + trained.num_steps
        extras = {"return_categories": trained.reached}
        if sorting == "adapted":
            extras |= silhouettes(state.sorted, past >= 0)
        info = info._replace(
            num_steps=info.num_steps + cost, extras={**info.extras, **extras}
        )
        return state._replace(base=base, kinds=trained.kinds), info

    def adapt(
        key: jax.Array, state: CategoriesState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        if categories == 1 or not readapt or num_steps == 0:
            return learner.adapt(key, state.base, task, num_steps)
        key_first, key_again = jax.random.split(key)
        path, curve = learner.adapt(key_first, state.base, task, num_steps)
        moved = jax.tree.map(lambda leaf: leaf[1], path)
        chosen, is_one = pointed_to(
            state.params,
            moved,
            state.kinds.params,
            has_tasks(state.sorted.labels, categories),
        )
        # Before its first epoch a θ_c is what θ was once, and no category's.
        is_one = is_one & (state.epoch > warm_up_epochs)
        kind = jax.tree.map(lambda leaf: leaf[chosen], state.kinds)
        again = learner.adapt(key_again, kind, task, num_steps - 1)
        return jax.tree.map(
            lambda old, new: jnp.concatenate(
                [old[:1], jnp.where(is_one, new, old[1:])]
            ),
            (path, curve),
            again,
        )

    return MetaLearner(init, step, adapt)
