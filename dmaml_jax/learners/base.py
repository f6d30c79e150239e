"""What learners share: an outer step on a meta-objective, and a learner made of it."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.derivatives import fisher_product, value
from dmaml_jax.learners.inner_loop import (
    Adaptation,
    Rates,
    adaptation_curve,
    first,
    last,
    replayed,
)
from dmaml_jax.learners.outer_rules import outer_rule
from dmaml_jax.learners.task_axis import collection_keys, mean_over_tasks, over_tasks
from dmaml_jax.types import (
    Data,
    Evaluation,
    Info,
    MetaLearner,
    Objective,
    OuterRule,
    Params,
    Problem,
    PyTree,
    Source,
    Task,
)


class Seen(NamedTuple):
    """What a meta-loss has to tell of its task beside its gradient.

    Attributes:
        loss: the task's loss as it is reported, without any score term.
        return_before: mean undiscounted return at θ.
        return_after: mean undiscounted return at θ'.
        num_steps: environment steps of all collections, int32.
        data: the data of all collections, stacked on axis 0, as a replay takes them.
        kl: KL(π_old ‖ π) on stored data, where π is what the objective judges; None
            where the problem has no such divergence.
        extras: further scalars to show, by name.
    """

    loss: jax.Array
    return_before: jax.Array
    return_after: jax.Array
    num_steps: jax.Array
    data: Data
    kl: jax.Array | None
    extras: dict[str, jax.Array]


MetaLoss = Callable[[Problem, PyTree, Source, Task], tuple[jax.Array, Seen]]
"""`(problem, θ, sources, task) -> (loss, seen)`: what a learner minimises of one task.

It is differentiated in θ, which may be a pytree of all that is meta-learned.
"""


class LearnerState(NamedTuple):
    """θ, the outer rule's memory, and the epochs done."""

    params: Params
    optimizer: Any
    epoch: jax.Array


def gradient_learner(
    problem: Problem,
    meta_loss: MetaLoss,
    *,
    num_collections: int,
    inner_lr: Rates,
    meta_optimizer: optax.GradientTransformation | OuterRule,
) -> MetaLearner:
    """A learner that descends a meta-objective in θ.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        meta_loss: what is minimised, of one task.
        num_collections: how often a task is sampled in an epoch.
        inner_lr: α, with which the learner adapts to a new task.
        meta_optimizer: an Optax transformation, or another rule of the outer step.

    Returns:
        The learner.
    """
    rule = outer_rule(meta_optimizer)

    def init(key: jax.Array) -> LearnerState:
        params = problem.init(key)
        return LearnerState(params, rule.init(params), jnp.int32(0))

    def step(
        key: jax.Array, state: LearnerState, tasks: Task
    ) -> tuple[LearnerState, Info]:
        keys = collection_keys(key, tasks, num_collections)
        params, optimizer, info, _ = outer_step(
            problem, meta_loss, rule, keys, tasks, state.params, state.optimizer
        )
        return LearnerState(params, optimizer, state.epoch + 1), info

    def adapt(
        key: jax.Array, state: LearnerState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        return adaptation_curve(
            problem, key, state.params, task, num_steps, inner_lr=inner_lr
        )

    return MetaLearner(init, step, adapt)


def outer_step(
    problem: Problem,
    meta_loss: MetaLoss,
    rule: OuterRule,
    keys: jax.Array,
    tasks: Task,
    learned: PyTree,
    memory: Any,
) -> tuple[PyTree, Any, Info, Seen]:
    """∇ (1/M) Σ_i meta_loss(θ, 𝒯_i), and the rule's step on it.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        meta_loss: what is minimised, of one task.
        rule: the rule of the outer step, from a meta-gradient to new parameters.
        keys: a random key for each collection of each task, `[M, num_collections]`.
        tasks: M of them, stacked on axis 0.
        learned: θ, or a pytree of all that is meta-learned.
        memory: what the rule remembers of the steps before.

    Returns:
        What is learned and the rule's memory after the step; the epoch's info, whose
        meta-gradient is shaped like what is learned; and what was seen of each task.
    """
    gradient, seen = mean_gradient(problem, meta_loss, learned, keys, tasks)
    objective = stored_objective(problem, meta_loss, seen.data, tasks)
    learned, memory, extras = rule.apply(gradient, memory, learned, objective)
    return learned, memory, epoch_info(gradient, seen, extras), seen


def mean_gradient(
    problem: Problem, meta_loss: MetaLoss, learned: PyTree, sources: Source, tasks: Task
) -> tuple[PyTree, Seen]:
    """∇ (1/M) Σ_i meta_loss(θ, 𝒯_i), and what was seen of each task.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        meta_loss: what is minimised, of one task.
        learned: θ, or a pytree of all that is meta-learned.
        sources: keys or stored data of each task's collections, leaves `[M, …]`.
        tasks: M of them, stacked on axis 0.
    """

    def of_task(sources: Source, task: Task) -> tuple[PyTree, Seen]:
        def loss(learned: PyTree) -> tuple[jax.Array, Seen]:
            return meta_loss(problem, learned, sources, task)

        (_, seen), gradient = jax.value_and_grad(loss, has_aux=True)(learned)
        return gradient, seen

    gradients, seen = over_tasks(of_task, sources, tasks)
    return mean_over_tasks(gradients), seen


def stored_objective(
    problem: Problem, meta_loss: MetaLoss, data: Data, tasks: Task
) -> Objective:
    """The meta-objective on the data of an epoch, at whatever θ.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        meta_loss: what is minimised, of one task.
        data: the stored data of each task's collections, leaves `[M, …]`.
        tasks: M of them, stacked on axis 0.
    """
    stored = replayed(problem)

    def evaluate(other: PyTree) -> Evaluation:
        def of_task(data: Data, task: Task) -> Evaluation:
            loss, seen = meta_loss(stored, other, data, task)
            return Evaluation(loss, seen.kl, seen.extras)

        return mean_over_tasks(over_tasks(of_task, data, tasks))

    def gradient(other: PyTree) -> PyTree:
        return mean_gradient(stored, meta_loss, other, data, tasks)[0]

    # What the KL is of, in its place: θ' as a function of θ, and the data.
    opened = stored._replace(kl=lambda params, data: (params, data))

    def kl_product(other: PyTree, direction: PyTree) -> PyTree:
        def of_task(data: Data, task: Task) -> PyTree:
            def adapted(learned: PyTree, *, forward: bool) -> Any:
                given = opened._replace(forward=forward)
                return meta_loss(given, learned, data, task)[1].kl

            # KL has its least value here, so that the derivative of J drops out of its
            # second derivative: the product goes through the inner steps once in each
            # direction, instead of through the derivative of a derivative.
            params, along, own = jax.jvp(
                partial(adapted, forward=True), (other,), (direction,), has_aux=True
            )
            curved = fisher_product(problem, params, own, along)
            _, pullback, _ = jax.vjp(
                partial(adapted, forward=False), other, has_aux=True
            )
            return pullback(curved)[0]

        return mean_over_tasks(over_tasks(of_task, data, tasks))

    return Objective(evaluate, gradient, kl_product)


def epoch_info(meta_gradient: PyTree, seen: Seen, extras: dict[str, jax.Array]) -> Info:
    """An epoch's info from what was seen of its tasks: means, and the sum of the cost.

    Args:
        meta_gradient: what the outer rule got.
        seen: what was seen of every task, stacked on axis 0.
        extras: the scalars that the outer rule has to show, by name.
    """
    mean = mean_over_tasks(seen._replace(data=None, kl=None))
    return Info(
        meta_gradient=meta_gradient,
        loss=mean.loss,
        return_before=mean.return_before,
        return_after=mean.return_after,
        num_steps=jnp.sum(seen.num_steps, dtype=jnp.int32),
        extras={**mean.extras, **extras},
    )


def outer_loss(problem: Problem, path: Adaptation) -> tuple[jax.Array, Seen]:
    """The outer loss of an adapted policy on the last data, and what was seen.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        path: what the inner loop went through, differentiable in θ.

    Returns:
        Loss, differentiable once in what the path depends on, and what was seen.
    """
    loss = loss_on_data(problem, last(path.params), last(path.data))
    return loss, seen_of(problem, path, loss)


def loss_on_data(problem: Problem, params: Params, data: Data) -> jax.Array:
    """The outer loss of a policy on data of its own, differentiable once.

    The data and their advantages are constants here: what is differentiated is the
    policy alone. (In an inner step the advantages are not, see `inner_loop`.)
    """
    filled = problem.advantages(jax.lax.stop_gradient(params), data)
    return value(problem, problem.outer_loss)(params, filled)


def seen_of(problem: Problem, path: Adaptation, loss: jax.Array) -> Seen:
    """What an inner loop met, told with a loss."""
    return Seen(
        loss=loss,
        return_before=first(path.performance),
        return_after=last(path.performance),
        num_steps=jnp.sum(path.num_steps, dtype=jnp.int32),
        data=path.data,
        kl=problem.kl and problem.kl(last(path.params), last(path.data)),
        extras={},
    )


def with_params(state: Any, params: Params) -> Any:
    """A learner's state with other parameters, and all else as it is."""
    if hasattr(state, "base"):
        return state._replace(base=with_params(state.base, params))
    return state._replace(params=params)


def cosine(a: Params, b: Params) -> jax.Array:
    """Cosine of the angle between two pytrees; 0 where one of them vanishes."""
    dot, aa, bb = (_inner(x, y) for x, y in ((a, b), (a, a), (b, b)))
    norm = jnp.sqrt(aa * bb)
    return jnp.where(norm > 0, dot / jnp.where(norm > 0, norm, 1), 0)


def _inner(a: Params, b: Params) -> jax.Array:
    products = jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)
    return jnp.stack(jax.tree.leaves(products)).sum()
