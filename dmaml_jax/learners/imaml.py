"""iMAML (Rajeswaran et al. 2019): adapt to the end, and differentiate where that is.

For each task 𝒯_i of an epoch, with L = −J_i:

    φ ≈ argmin_φ L(φ) + (λ/2)‖φ − θ‖²        n steps from θ, each on fresh data
    collect 𝒟_i and 𝒟'_i with φ;   H ← ∇²L(φ) on 𝒟_i
    g_i ← (I + H/λ)⁻¹ ∇L(φ) on 𝒟'_i           conjugate gradients

and θ ← θ − β (1/M) Σ_i g_i. How φ was found does not enter g_i, so that nothing of the
n steps is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NoReturn

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from dmaml_jax.errors import UsageError
from dmaml_jax.learners.base import LearnerState, Seen, epoch_info, loss_on_data
from dmaml_jax.learners.derivatives import gradient
from dmaml_jax.learners.linear_systems import (
    Apply,
    Solution,
    conjugate_gradients,
    minimal_residuals,
)
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.learners.outer_rules import outer_rule
from dmaml_jax.learners.proximal import Walk, descent, solved, towards, walked
from dmaml_jax.learners.task_axis import collection_keys, mean_over_tasks, over_tasks
from dmaml_jax.options import ABOVE_0, COUNT, option
from dmaml_jax.types import (
    Data,
    Info,
    MetaLearner,
    Objective,
    OuterRule,
    Params,
    Problem,
    Source,
    Task,
)

Solve = Callable[[Apply, jax.Array], Solution]


@dataclass(frozen=True)
class Options(GradientOptions):
    """The inner problem, the outer step, and the solver of the implicit gradient."""

    proximal_weight: float = option(
        30.0,
        "pull of the adapted policy towards theta (ours; of a loss that is a mean)",
        symbol="lambda",
        allowed=ABOVE_0,
        traced=True,
    )
    implicit_solver: Literal["cg", "minres"] = option(
        "cg",
        "Conjugate gradients, damped at negative curvature, or MINRES, which is not.",
    )
    implicit_iterations: int = option(
        5, "Hessian-vector products of the solver.", allowed=COUNT
    )
    curvature_floor: float = option(
        0.1,
        "Least curvature of I + H/lambda that cg leaves undamped (ours).",
        allowed=ABOVE_0,
        traced=True,
        where=("implicit_solver", "cg"),
    )


def imaml(
    problem: Problem,
    *,
    inner_lr: Any,
    meta_optimizer: optax.GradientTransformation | OuterRule,
    num_inner_steps: int = 5,
    proximal_weight: Any = 30.0,
    implicit_solver: Literal["cg", "minres"] = "cg",
    implicit_iterations: int = 5,
    curvature_floor: Any = 0.1,
) -> MetaLearner:
    r"""MAML whose inner problem is solved, and differentiated by the solution alone.

    The outer rule gets (1/M) Σ_i (I + H_i/λ)⁻¹ ∇L_i(φ_i), which is the gradient of
    θ ↦ L_i(φ_i(θ)) where φ_i is the minimiser. `Info.extras` says how good both halves
    of that are. `inner_residual` is ‖∇L(φ) + λ(φ − θ)‖ on 𝒟, 0 at the minimiser, and
    `inner_noise` what sampling alone makes of it, ‖∇L(φ; 𝒟) − ∇L(φ; 𝒟')‖/√2.
    `solver_residual` is ‖b − Ax‖/‖b‖ of the linear system, `least_curvature` the least
    that was met of A = I + H/λ in any task, and `solver_damping` the most that was
    added to it: the Hessian of a return is indefinite.

    H is that of the inner surrogate with its advantages given, so the surrogate should
    be one whose second derivative is J's (DiCE, Loaded DiCE) or nearly so (LVC).

    The paper knows no reinforcement learning, and these choices are ours: every inner
    step has fresh data; it is a proximal step (`proximal.towards`), and as its end is
    about θ − ∇L/λ, a step size of about 1/λ gets there soonest; Hessian and outer
    gradient have data of their own; a bent system is damped.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        inner_lr: α, the step size of the inner steps; a scalar, traced or not.
        meta_optimizer: takes the meta-gradient; an Optax transformation, or another
            rule of the outer step that does not ask the objective.
        num_inner_steps: n, how many steps solve the inner problem.
        proximal_weight: λ, above 0, in the unit of the loss's curvature; a scalar,
            traced or not.
        implicit_solver: "cg" dampens a system that is not positive definite; "minres"
            solves it as it is.
        implicit_iterations: Hessian-vector products, of each of cg's attempts.
        curvature_floor: the curvature of A below which cg adds damping.

    Returns:
        The learner.

    References:
        Rajeswaran, Finn, Kakade, Levine: Meta-Learning with Implicit Gradients,
        NeurIPS 2019.
    """
    rule = outer_rule(meta_optimizer)

    solve = _solver(implicit_solver, implicit_iterations, curvature_floor)
    walk_from = partial(
        towards, problem, inner_lr=inner_lr, proximal_weight=proximal_weight
    )

    def init(key: jax.Array) -> LearnerState:
        params = problem.init(key)
        return LearnerState(params, rule.init(params), jnp.int32(0))

    def step(
        key: jax.Array, state: LearnerState, tasks: Task
    ) -> tuple[LearnerState, Info]:
        of_task = partial(
            implicit_gradient,
            problem,
            state.params,
            walk=walk_from(state.params),
            proximal_weight=proximal_weight,
            solve=solve,
        )
        keys = collection_keys(key, tasks, num_inner_steps + 2)
        gradients, seen = over_tasks(of_task, keys, tasks)
        meta_gradient = mean_over_tasks(gradients)
        params, optimizer, extras = rule.apply(
            meta_gradient, state.optimizer, state.params, _NO_OBJECTIVE
        )
        info = epoch_info(meta_gradient, seen, {**_worst(seen), **extras})
        return LearnerState(params, optimizer, state.epoch + 1), info

    def adapt(
        key: jax.Array, state: LearnerState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        walk = walk_from(state.params)
        return walked(problem, key, state.params, task, num_steps, walk)

    return MetaLearner(init, step, adapt)


def implicit_gradient(
    problem: Problem,
    params: Params,
    sources: Source,
    task: Task,
    *,
    walk: Walk,
    proximal_weight: Any,
    solve: Solve,
) -> tuple[Params, Seen]:
    """(I + H/λ)⁻¹ ∇L(φ) of a task, and what was seen.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        params: θ, from which the inner steps start.
        sources: the keys of the n + 2 collections, stacked on axis 0.
        task: 𝒯_i, the parameters of one task.
        walk: an inner step towards φ.
        proximal_weight: λ, how strongly the inner problem holds φ near θ.
        solve: `(A, b) -> ` the solution of A x = b.
    """
    end = solved(problem, params, sources, task, walk)
    loss, slope = jax.value_and_grad(
        lambda p: loss_on_data(problem, p, end.outer)
    )(end.params)  # fmt: skip
    b, unflatten = ravel_pytree(slope)
    weight = jnp.asarray(proximal_weight, b.dtype)
    hessian = hessian_of(problem, end.params, end.inner)

    def apply(vector: jax.Array) -> jax.Array:
        return vector + _flat(hessian(unflatten(vector))) / weight

    found = solve(apply, b)
    inner, other = (
        _flat(descent(problem, end.params, data)) for data in (end.inner, end.outer)
    )
    away = _flat(end.params) - _flat(params)
    return unflatten(found.x), Seen(
        loss=loss,
        return_before=end.return_before,
        return_after=problem.performance(end.outer),
        num_steps=end.num_steps,
        data=None,
        kl=None,
        extras={
            "inner_residual": jnp.linalg.norm(inner + weight * away),
            "inner_noise": jnp.linalg.norm(inner - other) / 2**0.5,
            "solver_residual": found.residual,
            "least_curvature": found.curvature,
            "solver_damping": found.damping,
        },
    )


def hessian_of(
    problem: Problem, params: Params, data: Data
) -> Callable[[Params], Params]:
    """`(v) -> H v`, H the second derivative of the inner loss with advantages given."""
    filled = problem.advantages(params, data)
    slope = gradient(problem, problem.inner_loss)
    _, pullback = jax.vjp(lambda p: slope(p, filled), params)
    return lambda vector: pullback(vector)[0]


def _solver(
    name: Literal["cg", "minres"], iterations: int, curvature_floor: Any
) -> Solve:
    if name == "minres":
        return partial(minimal_residuals, iterations=iterations)
    return partial(conjugate_gradients, iterations=iterations, floor=curvature_floor)


def _flat(params: Params) -> jax.Array:
    return ravel_pytree(params)[0]


def _worst(seen: Seen) -> dict[str, jax.Array]:
    """Of what a mean over the tasks would hide, the worst one."""
    return {
        "least_curvature": jnp.min(seen.extras["least_curvature"]),
        "solver_damping": jnp.max(seen.extras["solver_damping"]),
    }


def _refused(*_: Params) -> NoReturn:
    raise UsageError(
        "iMAML keeps no data of its inner steps that an outer rule could ask: choose "
        "another --outer-optimizer, such as adam, or another learner."
    )


_NO_OBJECTIVE = Objective(_refused, _refused, _refused)
