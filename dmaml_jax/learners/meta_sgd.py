"""Meta-SGD (Li et al. 2017): MAML that learns its inner step sizes.

θ'_i ← θ + a ⊙ ∇J_i(θ);   (θ, a) ← (θ, a) + β ∇_{(θ, a)} Σ_i J_i(θ'_i)
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners import maml
from dmaml_jax.learners.base import Seen
from dmaml_jax.learners.inner_loop import Rates
from dmaml_jax.learners.learned_rates import rates_learner
from dmaml_jax.types import (
    MetaLearner,
    OuterRule,
    Params,
    Problem,
    PyTree,
    Source,
    Task,
)


def meta_sgd(
    problem: Problem,
    *,
    inner_lr: Any,
    meta_optimizer: optax.GradientTransformation | OuterRule,
    num_inner_steps: int = 1,
    first_order: bool = False,
) -> MetaLearner:
    r"""MAML with one learned inner step size per parameter, the same at every step.

    θ'_i = θ + a ⊙ ∇J_i(θ), and the outer rule gets ∇_{(θ, a)} of the mean loss at
    θ'_i. With one inner step ∂/∂a = −∇J_i(θ) ⊙ ∇loss(θ') needs no Hessian; with more it
    does, and ∂/∂θ always does: `first_order` leaves it out everywhere. Rates may become
    negative, as in the paper.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        inner_lr: what every entry of a starts with; a scalar, traced or not.
        meta_optimizer: takes the meta-gradient of (θ, a); an Optax transformation, or
            another rule of the outer step.
        num_inner_steps: N, how many gradient steps the inner loop takes.
        first_order: whether the inner gradients are taken as constants.

    Returns:
        The learner.

    References:
        Li, Zhou, Chen, Li: Meta-SGD: Learning to Learn Quickly for Few-Shot Learning,
        2017.
    """

    def initial_rates(params: Params) -> PyTree:
        return jax.tree.map(
            lambda leaf: jnp.full(leaf.shape, jnp.asarray(inner_lr, leaf.dtype)), params
        )

    def meta_loss(
        problem: Problem,
        params: Params,
        sources: Source,
        task: Task,
        *,
        inner_lr: Rates,
        epoch: jax.Array,
    ) -> tuple[jax.Array, Seen]:
        del epoch  # nothing is annealed
        return maml.meta_loss(
            problem, params, sources, task, inner_lr=inner_lr, first_order=first_order
        )

    return rates_learner(
        problem,
        meta_loss,
        initial_rates=initial_rates,
        rates_of_step=lambda a: a,
        num_collections=num_inner_steps + 1,
        meta_optimizer=meta_optimizer,
    )
