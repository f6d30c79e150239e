"""Joint training: the plain policy gradient over all tasks, without meta-learning."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.base import Seen, gradient_learner, loss_on_data
from dmaml_jax.learners.inner_loop import Rates
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.options import COUNT, option
from dmaml_jax.types import (
    Data,
    MetaLearner,
    OuterRule,
    Params,
    Problem,
    Source,
    Task,
)


@dataclass(frozen=True)
class Options(GradientOptions):
    """How the trained policy adapts, the gradient step, and how much it collects."""

    joint_collections: int = option(
        1, "collections of K trajectories per task; N + 1 are MAML's", allowed=COUNT
    )


def joint(
    problem: Problem,
    *,
    inner_lr: Rates,
    meta_optimizer: optax.GradientTransformation | OuterRule,
    num_inner_steps: int = 1,
    joint_collections: int = 1,
) -> MetaLearner:
    """θ ← θ + β (1/M) Σ_i ∇J_i(θ); a new task is adapted to by MAML's inner steps.

    The control that a meta-learner has to beat: the same tasks, no meta-objective.

    Args:
        problem: what is learned.
        inner_lr: α, with which the trained policy adapts.
        meta_optimizer: takes the gradient; an Optax transformation or another rule.
        num_inner_steps: not looked at, as training takes no inner step.
        joint_collections: how often K trajectories are collected of a task in an epoch;
            N + 1 of them are what MAML collects.
    """
    del num_inner_steps

    def meta_loss(
        problem: Problem, params: Params, sources: Source, task: Task
    ) -> tuple[jax.Array, Seen]:

        def of_collection(source: Source) -> tuple[jax.Array, Data]:
            data = problem.collect(source, jax.lax.stop_gradient(params), task)
            return loss_on_data(problem, params, data), data

        losses, data = jax.vmap(of_collection)(sources)
        loss, returns = jnp.mean(losses), jnp.mean(jax.vmap(problem.performance)(data))
        return loss, Seen(
            loss=loss,
            return_before=returns,
            return_after=returns,
            num_steps=jnp.sum(jax.vmap(problem.num_steps)(data), dtype=jnp.int32),
            data=data,
            adapted=params,
            extras={},
        )

    return gradient_learner(
        problem,
        meta_loss,
        num_collections=joint_collections,
        inner_lr=inner_lr,
        meta_optimizer=meta_optimizer,
    )
