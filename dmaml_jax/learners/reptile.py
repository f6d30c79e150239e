"""Reptile (Nichol, Achiam and Schulman 2018)."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.base import gradient_learner
from dmaml_jax.learners.derivatives import inner_steps
from dmaml_jax.types import Info, MetaLearner, Params, Problem, Task


def reptile(
    problem: Problem,
    *,
    inner_lr: Any,
    meta_optimizer: optax.GradientTransformation,
    num_inner_steps: int = 2,
) -> MetaLearner:
    r"""Reptile: towards where plain gradient steps lead.

    The outer optimiser gets the pseudo-gradient (1/M) Σ_i (θ − θ'_i)/(αN), θ'_i after N
    plain steps with fresh data each. Divided by αN it is the mean of the N gradients
    seen, so that β means what it means elsewhere; plain descent with β = ε·α·N is
    the textbook's θ ← θ + ε (1/M) Σ_i (θ'_i − θ). With N = 1 it would be the plain
    policy gradient, without any meta-learning.

    The return after adaptation is measured on K further trajectories per task, which
    `num_steps` does not count: the algorithm itself has no use for them.

    Args:
        problem: what is learned.
        inner_lr: α; a scalar, traced or not.
        meta_optimizer: takes the pseudo-gradient; an Optax transformation.
        num_inner_steps: N, 2 or more.

    Returns:
        The learner.

    References:
        Nichol, Achiam, Schulman: On First-Order Meta-Learning Algorithms, 2018.
    """
    return gradient_learner(
        problem,
        lambda keys, state, task: task_gradient(
            problem, keys, state.params, task, inner_lr=inner_lr
        ),
        num_collections=num_inner_steps + 1,
        inner_lr=inner_lr,
        meta_optimizer=meta_optimizer,
    )


def task_gradient(
    problem: Problem, keys: jax.Array, params: Params, task: Task, *, inner_lr: Any
) -> Info:
    """One task's pseudo-gradient, (θ − θ')/(αN), as the mean of the gradients seen.

    Args:
        problem: what is learned.
        keys: one per inner step and one to measure θ' with, `[N + 1]`.
        params: θ.
        task: 𝒯_i.
        inner_lr: α.

    Returns:
        The task's pseudo-gradient, loss, returns and cost.
    """
    adapted, seen = inner_steps(
        problem, keys[:-1], params, task, inner_lr=inner_lr, first_order=True
    )
    gradients = [step.gradient for step in seen]
    data = problem.advantages(adapted, problem.collect(keys[-1], adapted, task))
    return Info(
        meta_gradient=jax.tree.map(lambda *g: sum(g) / len(g), *gradients),
        loss=problem.outer_loss(adapted, data),
        return_before=seen[0].performance,
        return_after=problem.performance(data),
        num_steps=sum((s.num_steps for s in seen), jnp.int32(0)),
    )
