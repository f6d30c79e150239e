"""MAML and FOMAML (Finn, Abbeel and Levine 2017).

For each task 𝒯_i of an epoch (lines 4 to 8 of Algorithm 1, arXiv 2510.00212):

    collect 𝒟_i with θ;   θ'_i ← θ + α ∇J_i(θ)          (Eq. 2a)
    collect 𝒟'_i with θ'_i

and θ ← θ + β ∇_θ Σ_i J_i(θ'_i) on the 𝒟'_i             (Eq. 2b, line 9).
"""

from functools import partial

import jax
import optax

from dmaml_jax.learners.base import Seen, gradient_learner, outer_loss
from dmaml_jax.learners.inner_loop import Rates, inner_loop
from dmaml_jax.types import MetaLearner, OuterRule, Params, Problem, Source, Task


def maml(
    problem: Problem,
    *,
    inner_lr: Rates,
    meta_optimizer: optax.GradientTransformation | OuterRule,
    num_inner_steps: int = 1,
    first_order: bool = False,
) -> MetaLearner:
    r"""Model-agnostic meta-learning.

    The outer rule gets ∇_θ (1/M) Σ_i −J_i(θ'_i) (Eq. 2b with a mean where the paper
    writes a sum), θ'_i = θ + α ∇J_i(θ) (Eq. 2a), the inner gradient differentiated as
    well.

    Args:
        problem: what is learned.
        inner_lr: α, the step size of the inner loop; a scalar, traced or not.
        meta_optimizer: takes the meta-gradient; an Optax transformation, or another
            rule of the outer step.
        num_inner_steps: N, how many gradient steps the inner loop takes.
        first_order: whether the inner gradient is taken as a constant (FOMAML).

    Returns:
        The learner.

    References:
        Finn, Abbeel, Levine: Model-Agnostic Meta-Learning for Fast Adaptation of Deep
        Networks, ICML 2017.
    """
    return gradient_learner(
        problem,
        partial(meta_loss, inner_lr=inner_lr, first_order=first_order),
        num_collections=num_inner_steps + 1,
        inner_lr=inner_lr,
        meta_optimizer=meta_optimizer,
    )


def meta_loss(
    problem: Problem,
    params: Params,
    sources: Source,
    task: Task,
    *,
    inner_lr: Rates,
    first_order: bool,
) -> tuple[jax.Array, Seen]:
    """−J_i(θ'_i(θ)) as a surrogate: its gradient in θ is a task's meta-gradient.

    Args:
        problem: what is learned.
        params: θ.
        sources: of the collections, N + 1 keys or stored data stacked on axis 0.
        task: 𝒯_i.
        inner_lr: α, as `inner_loop` takes it.
        first_order: whether ∂θ'/∂θ is taken for the identity.

    Returns:
        The loss, and what was seen on the way.
    """
    path = inner_loop(
        problem, sources, params, task, inner_lr=inner_lr, second_order=not first_order
    )
    return outer_loss(problem, path)
