"""Sharp-MAML (Abbas et al. 2022): MAML that looks for flat minima.

With g = ∇L_i(θ), h(θ) = (1/M) Σ_i L_i(θ'_i(θ)) and steps of length ρ uphill:

    low     θ'_i(θ) = θ − α ∇L_i(θ + ρ g/‖g‖)               at every inner step
    up      θ ← θ − β ∇h(θ + ρ ∇h(θ)/‖∇h(θ)‖)               MAML's θ'_i
    both    up, with low's θ'_i
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.base import (
    LearnerState,
    Seen,
    cosine,
    epoch_info,
    mean_gradient,
    outer_loss,
    outer_step,
    stored_objective,
)
from dmaml_jax.learners.inner_loop import (
    Rates,
    Slope,
    adaptation_curve,
    inner_loop,
    inner_slope,
    replayed,
)
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.learners.outer_rules import outer_rule
from dmaml_jax.learners.task_axis import collection_keys, collection_rounds
from dmaml_jax.options import STEP_SIZE, option
from dmaml_jax.types import (
    Data,
    Info,
    MetaLearner,
    OuterRule,
    Params,
    Problem,
    Source,
    Task,
)


@dataclass(frozen=True)
class Options(GradientOptions):
    """The inner loop, the outer step, and where they go uphill first."""

    sharpness: Literal["low", "up", "both"] = option(
        "low", "Which steps go uphill first: the inner ones, the outer one, or both."
    )
    rho: float = option(
        0.05,
        "length of a step uphill",
        symbol="rho",
        allowed=STEP_SIZE,
        traced=True,
    )
    uphill_data: Literal["fresh", "stored"] = option(
        "fresh",
        "Uphill of theta: episodes of their own (twice the cost), or stored ones.",
        where={"sharpness": ("up", "both")},
    )

    def further_trajectories(self, num_trajectories: int) -> int:
        """As many again, where fresh ones are collected uphill of θ."""
        fresh = self.sharpness != "low" and self.uphill_data == "fresh"
        return fresh * (self.num_inner_steps + 1) * num_trajectories


def sharp_maml(
    problem: Problem,
    *,
    inner_lr: Rates,
    meta_optimizer: optax.GradientTransformation | OuterRule,
    num_inner_steps: int = 1,
    sharpness: Literal["low", "up", "both"] = "low",
    rho: Any = 0.05,
    uphill_data: Literal["fresh", "stored"] = "fresh",
) -> MetaLearner:
    r"""MAML whose inner or outer gradients are taken a step uphill.

    Trajectories are right at the θ that collected them. Uphill of it, stored ones weigh
    their steps by the ratio of probabilities; for the outer step, fresh ones may be
    collected there instead, which doubles an epoch's cost. With fresh ones the returns
    that are shown are those at θ itself. A new task is adapted to as in training: by
    low's inner steps, where those are used.

    With up or both, the extra `cos_uphill` is the cosine between the meta-gradient at θ
    and the one uphill of it, which the step follows.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        inner_lr: α, the step size of the inner loop; a scalar, traced or not.
        meta_optimizer: takes the meta-gradient; an Optax transformation, or another
            rule of the outer step, whose objective is that at θ.
        num_inner_steps: N, how many gradient steps the inner loop takes.
        sharpness: which steps go uphill first; low's is differentiated through.
        rho: ρ; 0 is MAML.
        uphill_data: what up's gradient is of, "fresh" trajectories or "stored" ones.

    Returns:
        The learner.

    References:
        Abbas, Xiao, Chen, Chen, Chen: Sharp-MAML: Sharpness-Aware Model-Agnostic Meta
        Learning, ICML 2022.
    """
    rule = outer_rule(meta_optimizer)
    num_collections = num_inner_steps + 1

    def slope_of(problem: Problem) -> Slope:
        return inner_slope(problem) if sharpness == "up" else uphill_slope(problem, rho)

    loss = partial(meta_loss, inner_lr=inner_lr, slope_of=slope_of)

    def init(key: jax.Array) -> LearnerState:
        params = problem.init(key)
        return LearnerState(params, rule.init(params), jnp.int32(0))

    def step_low(
        key: jax.Array, state: LearnerState, tasks: Task
    ) -> tuple[LearnerState, Info]:
        keys = collection_keys(key, tasks, num_collections)
        params, optimizer, info, _ = outer_step(
            problem, loss, rule, keys, tasks, state.params, state.optimizer
        )
        return LearnerState(params, optimizer, state.epoch + 1), info

    def step_up(
        key: jax.Array, state: LearnerState, tasks: Task
    ) -> tuple[LearnerState, Info]:
        fresh = uphill_data == "fresh"
        # Those of the gradient that is followed come first: with ρ = 0 it is MAML's.
        keys = collection_rounds(key, tasks, num_collections, 1 + fresh)
        here, seen = mean_gradient(problem, loss, state.params, keys[-1], tasks)
        objective = stored_objective(problem, loss, seen.data, tasks)
        above = _plus(state.params, uphill(here, rho))
        if fresh:
            followed, more = mean_gradient(problem, loss, above, keys[0], tasks)
            seen = seen._replace(num_steps=seen.num_steps + more.num_steps)
        else:
            followed = objective.gradient(above)
        params, optimizer, extras = rule.apply(
            followed, state.optimizer, state.params, objective
        )
        extras = {**extras, "cos_uphill": cosine(here, followed)}
        info = epoch_info(followed, seen, extras)
        return LearnerState(params, optimizer, state.epoch + 1), info

    def adapt(
        key: jax.Array, state: LearnerState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        return adaptation_curve(
            problem,
            key,
            state.params,
            task,
            num_steps,
            inner_lr=inner_lr,
            slope=slope_of(problem),
        )

    return MetaLearner(init, step_low if sharpness == "low" else step_up, adapt)


def meta_loss(
    problem: Problem,
    params: Params,
    sources: Source,
    task: Task,
    *,
    inner_lr: Rates,
    slope_of: Callable[[Problem], Slope],
) -> tuple[jax.Array, Seen]:
    """MAML's loss, with inner steps along a slope of one's own.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        params: θ, the parameters before the inner steps.
        sources: N + 1 keys of collections, or their stored data, stacked on axis 0.
        task: 𝒯_i, the parameters of the task.
        inner_lr: α, as `inner_loop` takes it.
        slope_of: from the problem to what an inner step descends.

    Returns:
        The loss, and what was seen.
    """
    path = inner_loop(
        problem, sources, params, task, inner_lr=inner_lr, slope=slope_of(problem)
    )
    return outer_loss(problem, path)


def uphill_slope(problem: Problem, rho: Any) -> Slope:
    """`(θ, 𝒟) -> ∇L(θ + ρ g/‖g‖)`, g = ∇L(θ), differentiated through both."""
    here, above = inner_slope(problem), inner_slope(replayed(problem))

    def slope(params: Params, data: Data) -> Params:
        return above(_plus(params, uphill(here(params, data), rho)), data)

    return slope


def uphill(gradient: Params, rho: Any) -> Params:
    """ρ g/‖g‖, and 0 where g is."""
    squares = jax.tree.map(lambda leaf: jnp.sum(leaf**2), gradient)
    square = jnp.stack(jax.tree.leaves(squares)).sum()
    # A root of 0 has no derivative, and `where` alone would let its NaN through.
    norm = jnp.sqrt(jnp.where(square > 0, square, 1))
    scale = jnp.where(square > 0, rho / norm, 0)
    return jax.tree.map(lambda leaf: scale.astype(leaf.dtype) * leaf, gradient)


def _plus(params: Params, step: Params) -> Params:
    return jax.tree.map(jnp.add, params, step)
