"""Reptile (Nichol, Achiam and Schulman 2018): towards where plain steps lead.

θ'_i ← N plain gradient steps on 𝒯_i from θ;   θ ← θ + ε (1/M) Σ_i (θ'_i − θ)
"""

from typing import NoReturn

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.errors import UsageError
from dmaml_jax.learners.base import LearnerState, Seen, epoch_info, outer_loss
from dmaml_jax.learners.inner_loop import (
    Rates,
    adaptation_curve,
    but_last,
    inner_loop,
)
from dmaml_jax.learners.outer_rules import outer_rule
from dmaml_jax.learners.task_axis import collection_keys, mean_over_tasks, over_tasks
from dmaml_jax.types import (
    Info,
    MetaLearner,
    Objective,
    OuterRule,
    Params,
    Problem,
    Source,
    Task,
)


def reptile(
    problem: Problem,
    *,
    inner_lr: Rates,
    meta_optimizer: optax.GradientTransformation | OuterRule,
    num_inner_steps: int = 2,
) -> MetaLearner:
    r"""A learner without a meta-objective: it follows the mean of plain inner steps.

    The outer rule gets the pseudo-gradient (1/M) Σ_i (θ − θ'_i)/(αN), θ'_i after N
    plain steps with fresh data each. Divided by αN it is the mean of the N gradients
    seen, so that β means what it means elsewhere; plain descent with β = ε·α·N is
    the textbook's θ ← θ + ε (1/M) Σ_i (θ'_i − θ). With N = 1 it would be the plain
    policy gradient, without any meta-learning.

    The return after adaptation is measured on K further trajectories per task, which
    `num_steps` does not count: the algorithm itself has no use for them.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        inner_lr: α, the step size of the plain steps; a scalar, traced or not.
        meta_optimizer: takes the pseudo-gradient; an Optax transformation, or another
            rule of the outer step that does not ask the objective.
        num_inner_steps: N, the number of plain steps, 2 or more.

    Returns:
        The learner.

    References:
        Nichol, Achiam, Schulman: On First-Order Meta-Learning Algorithms, 2018.
    """
    rule = outer_rule(meta_optimizer)

    def init(key: jax.Array) -> LearnerState:
        params = problem.init(key)
        return LearnerState(params, rule.init(params), jnp.int32(0))

    def step(
        key: jax.Array, state: LearnerState, tasks: Task
    ) -> tuple[LearnerState, Info]:
        def of_task(keys: Source, task: Task) -> tuple[Params, Seen]:
            return pseudo_gradient(problem, state.params, keys, task, inner_lr=inner_lr)

        keys = collection_keys(key, tasks, num_inner_steps + 1)
        gradients, seen = over_tasks(of_task, keys, tasks)
        gradient = mean_over_tasks(gradients)
        params, optimizer, extras = rule.apply(
            gradient,
            state.optimizer,
            state.params,
            Objective(_no_objective, _no_objective, _no_objective),
        )
        info = epoch_info(gradient, seen, extras)
        return LearnerState(params, optimizer, state.epoch + 1), info

    def adapt(
        key: jax.Array, state: LearnerState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        return adaptation_curve(
            problem, key, state.params, task, num_steps, inner_lr=inner_lr
        )

    return MetaLearner(init, step, adapt)


def pseudo_gradient(
    problem: Problem, params: Params, keys: Source, task: Task, *, inner_lr: Rates
) -> tuple[Params, Seen]:
    """(θ − θ'_i)/(αN), as the mean of the gradients seen, which α = 0 has too.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        params: θ, from which the inner steps start.
        keys: one per inner step and one to measure θ' with, `[N + 1]`.
        task: 𝒯_i, the parameters of one task.
        inner_lr: α, as `inner_loop` takes it.

    Returns:
        The task's pseudo-gradient, and what was seen.
    """
    path = inner_loop(
        problem, keys, params, task, inner_lr=inner_lr, second_order=False
    )
    _, seen = outer_loss(problem, path)
    steps = jnp.sum(but_last(path.num_steps), dtype=jnp.int32)
    return mean_over_tasks(but_last(path.gradients)), seen._replace(num_steps=steps)


def _no_objective(*_: Params) -> NoReturn:
    raise UsageError(
        "Reptile has no objective that an outer rule could ask: choose another "
        "--outer-optimizer, such as adam, or another learner."
    )
