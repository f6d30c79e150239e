"""MAML and FOMAML (Finn, Abbeel and Levine 2017)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.adapt import adaptation_curve, inner_steps, value_and_gradient
from dmaml_jax.learners.common import (
    collection_keys,
    optimizer_step,
    over_all,
    over_tasks,
)
from dmaml_jax.types import Info, MetaLearner, Params, Problem, Task


class MAMLState(NamedTuple):
    """θ, the outer optimiser's state, and the epochs done."""

    params: Params
    optimizer: Any
    epoch: jax.Array


def maml(
    problem: Problem,
    *,
    inner_lr: Any,
    meta_optimizer: optax.GradientTransformation,
    num_inner_steps: int = 1,
    first_order: bool = False,
) -> MetaLearner:
    r"""Model-agnostic meta-learning.

    θ'_i = θ + α ∇J_i(θ) on K trajectories 𝒟_i of task i (Eq. 2a of arXiv 2510.00212);
    the outer optimiser gets ∇_θ (1/M) Σ_i −J_i(θ'_i), estimated on K fresh
    trajectories of θ'_i (Eq. 2b, with a mean where the paper writes a sum), the
    inner gradient differentiated as well.

    Args:
        problem: what is learned.
        inner_lr: α; a scalar, traced or not.
        meta_optimizer: takes the meta-gradient; an Optax transformation.
        num_inner_steps: N, gradient steps of the inner loop.
        first_order: FOMAML: the inner gradient is a constant.

    Returns:
        The learner.

    References:
        Finn, Abbeel, Levine: Model-Agnostic Meta-Learning for Fast Adaptation of Deep
        Networks, ICML 2017.
    """

    def init(key: jax.Array) -> MAMLState:
        params = problem.init(key)
        return MAMLState(params, meta_optimizer.init(params), jnp.int32(0))

    def step(key: jax.Array, state: MAMLState, tasks: Task) -> tuple[MAMLState, Info]:
        keys = collection_keys(key, tasks, num_inner_steps + 1)
        infos = over_tasks(
            lambda keys, task: task_gradient(
                problem,
                keys,
                state.params,
                task,
                inner_lr=inner_lr,
                first_order=first_order,
            ),
            keys,
            tasks,
        )
        info = over_all(infos)
        params, optimizer = optimizer_step(
            meta_optimizer, info.meta_gradient, state.optimizer, state.params
        )
        return MAMLState(params, optimizer, state.epoch + 1), info

    def adapt(
        key: jax.Array, state: MAMLState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        return adaptation_curve(
            problem, key, state.params, task, num_steps, inner_lr=inner_lr
        )

    return MetaLearner(init, step, adapt)


def task_gradient(
    problem: Problem,
    keys: jax.Array,
    params: Params,
    task: Task,
    *,
    inner_lr: Any,
    first_order: bool,
) -> Info:
    r"""One task's share of the meta-gradient, by the chain rule.

    ∇_θ loss(θ'(θ)) = (∂θ'/∂θ)ᵀ ∇loss(θ').

    Args:
        problem: what is learned.
        keys: one per collection, `[N + 1]`.
        params: θ.
        task: 𝒯_i.
        inner_lr: α.
        first_order: whether ∂θ'/∂θ is taken for the identity.

    Returns:
        The task's gradient, loss, returns and cost.
    """
    adapted, pullback, seen = jax.vjp(
        lambda p: inner_steps(
            problem, keys[:-1], p, task, inner_lr=inner_lr, first_order=first_order
        ),
        params,
        has_aux=True,
    )
    data = problem.advantages(adapted, problem.collect(keys[-1], adapted, task))
    loss, outer_gradient = value_and_gradient(problem, problem.outer_loss)(
        adapted, data
    )
    (meta_gradient,) = pullback(outer_gradient)
    return Info(
        meta_gradient=meta_gradient,
        loss=loss,
        return_before=seen[0].performance,
        return_after=problem.performance(data),
        num_steps=sum((s.num_steps for s in seen), problem.num_steps(data)),
    )
