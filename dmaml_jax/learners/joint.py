"""Joint training: the plain policy gradient over all tasks, without meta-learning."""

from dataclasses import dataclass

import jax
import optax

from dmaml_jax.learners.base import Seen, gradient_learner, loss_on_data, seen_of
from dmaml_jax.learners.inner_loop import Rates, first, inner_loop
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.options import option
from dmaml_jax.types import MetaLearner, OuterRule, Params, Problem, Source, Task


@dataclass(frozen=True)
class Options(GradientOptions):
    """The gradient step, and how the trained policy adapts."""

    measure_adaptation: bool = option(
        True, "Whether return_after is measured, on episodes that do not count."
    )


def joint(
    problem: Problem,
    *,
    inner_lr: Rates,
    meta_optimizer: optax.GradientTransformation | OuterRule,
    num_inner_steps: int = 1,
    measure_adaptation: bool = True,
) -> MetaLearner:
    """θ ← θ + β (1/M) Σ_i ∇J_i(θ); a new task is adapted to by MAML's inner steps.

    The control that a meta-learner has to beat: the same tasks, no meta-objective.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        inner_lr: α, with which the trained policy adapts.
        meta_optimizer: takes the gradient; an Optax transformation or another rule.
        num_inner_steps: N, the inner steps after which the return is measured.
        measure_adaptation: whether it is measured in training too. The N collections
            that this takes are not counted: training has no use for them.
    """

    def meta_loss(
        problem: Problem, params: Params, sources: Source, task: Task
    ) -> tuple[jax.Array, Seen]:
        fixed = jax.lax.stop_gradient(params)  # inner steps are no part of the loss
        path = inner_loop(
            problem, sources, fixed, task, inner_lr=inner_lr, second_order=False
        )
        data = first(path.data)
        loss = loss_on_data(problem, params, data)
        return loss, seen_of(problem, path, loss)._replace(
            num_steps=first(path.num_steps),
            kl=problem.kl and problem.kl(params, data),
        )

    return gradient_learner(
        problem,
        meta_loss,
        num_collections=1 + num_inner_steps * measure_adaptation,
        inner_lr=inner_lr,
        meta_optimizer=meta_optimizer,
    )
