"""SG-MRL, debiased MAML (Fallah et al. 2021), and E-MAML (Stadie et al. 2018)."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.base import (
    collection_keys,
    mean_of_others,
    optimizer_step,
    over_all,
    over_tasks,
)
from dmaml_jax.learners.derivatives import (
    adaptation_curve,
    inner_steps,
    value,
    value_and_gradient,
)
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.options import option
from dmaml_jax.types import Data, Info, MetaLearner, Params, Problem, Task

_MEMORY = 0.9


@dataclasses.dataclass(frozen=True)
class Options(GradientOptions):
    """The inner loop, the outer step, and the score term's baseline."""

    score_baseline: Literal["others", "none"] = option(
        "others", "Subtracted in the score term: the other tasks' mean return, or none."
    )


class SGMRLState(NamedTuple):
    """θ, the outer optimiser's state, the epochs done, the mean Ĵ(θ) of late."""

    params: Params
    optimizer: Any
    epoch: jax.Array
    mean_objective: jax.Array


def sg_mrl(
    problem: Problem,
    *,
    inner_lr: Any,
    meta_optimizer: optax.GradientTransformation,
    num_inner_steps: int = 1,
    score_baseline: Literal["others", "none"] = "others",
    score_reduction: Literal["sum", "mean"] = "sum",
) -> MetaLearner:
    r"""MAML with the score term, exactly unbiased for what an agent really computes.

    J(θ) = E_𝒯 E_{𝒟 ~ q(θ)^K} J_𝒯(θ'(θ, 𝒟)), and ∇J = E[(∂θ'/∂θ)ᵀ ∇J_𝒯(θ')
    + (J_𝒯(θ') − b) Σ_{τ ∈ 𝒟} ∇ log q(τ; θ)]: the second part is what MAML leaves out,
    that other parameters would have collected other data 𝒟 to adapt with. It is a sum
    over all trajectories and steps; data of inner step j score θ_j, and that is
    differentiated back to θ. Exactness needs a problem whose outer loss is
    un-normalised, weighs step t by γ^t and sums over steps; the inner step is part of
    the objective and may be anything.

    Args:
        problem: what is learned, with the score-function surrogate.
        inner_lr: α; a scalar, traced or not.
        meta_optimizer: takes the meta-gradient; an Optax transformation.
        num_inner_steps: N, gradient steps of the inner loop.
        score_baseline: b, the mean of Ĵ(θ) over the other tasks' first data (with one
            task over earlier epochs), or none.
        score_reduction: "mean" over the steps of a collection is E-MAML's scale.

    Returns:
        The learner.

    References:
        Fallah, Georgiev, Mokhtari, Ozdaglar: On the Convergence Theory of Debiased
        Model-Agnostic Meta-Reinforcement Learning, NeurIPS 2021.
        Stadie et al.: Some Considerations on Learning to Explore via
        Meta-Reinforcement Learning, NeurIPS 2018.
    """

    def init(key: jax.Array) -> SGMRLState:
        params = problem.init(key)
        optimizer = meta_optimizer.init(params)
        return SGMRLState(params, optimizer, jnp.int32(0), jnp.zeros(()))

    def step(key: jax.Array, state: SGMRLState, tasks: Task) -> tuple[SGMRLState, Info]:
        keys = collection_keys(key, tasks, num_inner_steps + 1)
        num_tasks = keys.shape[0]

        def baseline(objective: jax.Array) -> jax.Array:
            if score_baseline == "none":
                return jnp.zeros(())
            if num_tasks == 1:
                return state.mean_objective
            return mean_of_others(objective, num_tasks)

        infos, objectives = over_tasks(
            lambda keys, task: task_gradient(
                problem,
                keys,
                state.params,
                task,
                inner_lr=inner_lr,
                baseline=baseline,
                score_reduction=score_reduction,
            ),
            keys,
            tasks,
        )
        info = over_all(infos)
        params, optimizer = optimizer_step(
            meta_optimizer, info.meta_gradient, state.optimizer, state.params
        )
        memory = jnp.where(state.epoch == 0, 0, _MEMORY).astype(objectives.dtype)
        mean = memory * state.mean_objective + (1 - memory) * jnp.mean(objectives)
        return SGMRLState(params, optimizer, state.epoch + 1, mean), info

    def adapt(
        key: jax.Array, state: SGMRLState, task: Task, num_steps: int
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
    baseline: Callable[[jax.Array], jax.Array],
    score_reduction: Literal["sum", "mean"],
) -> tuple[Info, jax.Array]:
    r"""One task's share of the meta-gradient: MAML's and the score term.

    Args:
        problem: what is learned.
        keys: one per collection, `[N + 1]`.
        params: θ.
        task: 𝒯_i.
        inner_lr: α.
        baseline: from this task's Ĵ(θ) to b, which must not depend on it.
        score_reduction: "sum" over steps, or "mean".

    Returns:
        The task's gradient, loss, returns and cost, and its Ĵ(θ).
    """

    def log_likelihood(params: Params, data: Data) -> jax.Array:
        return jnp.sum(problem.log_probs(params, data))

    def adapt(params: Params) -> Any:
        adapted, seen = inner_steps(
            problem, keys[:-1], params, task, inner_lr=inner_lr, first_order=False
        )
        scores = [value(problem, log_likelihood)(s.params, s.data) for s in seen]
        if score_reduction == "mean":
            scores = [
                score / s.num_steps.astype(score.dtype)
                for score, s in zip(scores, seen, strict=True)
            ]
        return (adapted, jnp.stack(scores).sum()), seen

    (adapted, _), pullback, seen = jax.vjp(adapt, params, has_aux=True)
    data = problem.advantages(adapted, problem.collect(keys[-1], adapted, task))
    loss, outer_gradient = value_and_gradient(problem, problem.outer_loss)(
        adapted, data
    )
    before = problem.objective(seen[0].data)
    coefficient = problem.objective(data) - baseline(before)
    # Losses are minimised, so the score of what did well is pulled down in −log q.
    (meta_gradient,) = pullback((outer_gradient, -coefficient))
    info = Info(
        meta_gradient=meta_gradient,
        loss=loss,
        return_before=seen[0].performance,
        return_after=problem.performance(data),
        num_steps=sum((s.num_steps for s in seen), problem.num_steps(data)),
    )
    return info, before
