"""MAML and FOMAML (Finn, Abbeel and Levine 2017)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.base import LearnerState, gradient_learner
from dmaml_jax.learners.derivatives import inner_steps, value_and_gradient
from dmaml_jax.types import Info, MetaLearner, Params, Problem, Task

Schedule = Callable[[jax.Array], jax.Array]


def maml(
    problem: Problem,
    *,
    inner_lr: Any,
    meta_optimizer: optax.GradientTransformation,
    num_inner_steps: int = 1,
    first_order: bool = False,
    step_weights: Schedule | None = None,
    second_order_share: Schedule | None = None,
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
        step_weights: MAML++: from the epochs done to the weights `[N]` of the outer
            losses after each inner step, such as `uniform_to_last`.
        second_order_share: MAML++: from the epochs done to the share of the second
            order, 0 is FOMAML's derivative and 1 MAML's, such as `zero_to_one`.

    Returns:
        The learner.

    References:
        Finn, Abbeel, Levine: Model-Agnostic Meta-Learning for Fast Adaptation of Deep
        Networks, ICML 2017.
        Antoniou, Edwards, Storkey: How to train your MAML, ICLR 2019.
    """

    def gradient(keys: jax.Array, state: LearnerState, task: Task) -> Info:
        return task_gradient(
            problem,
            keys,
            state.params,
            task,
            inner_lr=inner_lr,
            first_order=first_order,
            step_weights=step_weights and step_weights(state.epoch),
            second_order_share=second_order_share and second_order_share(state.epoch),
        )

    return gradient_learner(
        problem,
        gradient,
        num_collections=num_inner_steps + 1,
        inner_lr=inner_lr,
        meta_optimizer=meta_optimizer,
    )


def task_gradient(
    problem: Problem,
    keys: jax.Array,
    params: Params,
    task: Task,
    *,
    inner_lr: Any,
    first_order: bool,
    step_weights: jax.Array | None = None,
    second_order_share: jax.Array | None = None,
) -> Info:
    r"""One task's share of the meta-gradient, by the chain rule.

    ∇_θ Σ_j w_j loss(θ_j(θ)) = Σ_j w_j (∂θ_j/∂θ)ᵀ ∇loss(θ_j), j = 1 … N; without weights
    the last alone. For j < N the trajectories are those that step j + 1 adapts with.

    Args:
        problem: what is learned.
        keys: one per collection, `[N + 1]`.
        params: θ.
        task: 𝒯_i.
        inner_lr: α.
        first_order: whether ∂θ'/∂θ is taken for the identity.
        step_weights: w, `[N]`.
        second_order_share: as `inner_steps` takes it.

    Returns:
        The task's gradient, loss, returns and cost.
    """

    def adapt(params: Params) -> Any:
        adapted, seen = inner_steps(
            problem,
            keys[:-1],
            params,
            task,
            inner_lr=inner_lr,
            first_order=first_order,
            second_order_share=second_order_share,
        )
        between = [] if step_weights is None else seen[1:]
        return [*(step.params for step in between), adapted], (between, seen)

    points, pullback, (between, seen) = jax.vjp(adapt, params, has_aux=True)
    last = problem.advantages(points[-1], problem.collect(keys[-1], points[-1], task))
    weights = jnp.ones(1) if step_weights is None else step_weights
    of_loss = value_and_gradient(problem, problem.outer_loss)
    losses, gradients = [], []
    for point, data, weight in zip(
        points, [*(step.data for step in between), last], weights, strict=True
    ):
        loss, gradient = of_loss(point, data)
        losses.append(weight * loss)
        gradients.append(jax.tree.map(lambda g, w=weight: w * g, gradient))
    (meta_gradient,) = pullback(gradients)
    return Info(
        meta_gradient=meta_gradient,
        loss=jnp.stack(losses).sum(),
        return_before=seen[0].performance,
        return_after=problem.performance(last),
        num_steps=sum((s.num_steps for s in seen), problem.num_steps(last)),
    )


def uniform_to_last(num_inner_steps: int, num_epochs: int) -> Schedule:
    """MAML++'s weights of the steps' losses: 1/N each at first, (0, …, 0, 1) at last.

    Args:
        num_inner_steps: N.
        num_epochs: after which only the last step counts.
    """

    def weights(epoch: jax.Array) -> jax.Array:
        late = zero_to_one(num_epochs)(epoch)
        last = jnp.arange(num_inner_steps) == num_inner_steps - 1
        return late * last.astype(late.dtype) + (1 - late) / num_inner_steps

    return weights


def zero_to_one(num_epochs: int) -> Schedule:
    """Linearly from 0 to 1 in so many epochs, and 1 from then on."""

    def share(epoch: jax.Array) -> jax.Array:
        return jnp.minimum(epoch.astype(jnp.result_type(float)) / num_epochs, 1)

    return share
