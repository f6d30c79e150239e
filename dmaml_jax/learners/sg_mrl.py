"""SG-MRL, debiased MAML (Fallah et al. 2021), and E-MAML (Stadie et al. 2018).

∇J(θ) = E[ (∂θ'/∂θ)ᵀ ∇J_i(θ')  +  (J_i(θ') − b) Σ_j Σ_{τ ∈ 𝒟_j} ∇ log q(τ; θ_j(θ)) ]
MAML's part              what MAML leaves out
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.base import MetaLoss, Seen, outer_loss, outer_step
from dmaml_jax.learners.derivatives import value
from dmaml_jax.learners.inner_loop import (
    Adaptation,
    Rates,
    adaptation_curve,
    but_last,
    first,
    inner_loop,
    last,
)
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.learners.outer_rules import outer_rule
from dmaml_jax.learners.task_axis import collection_keys, mean_of_others
from dmaml_jax.options import option
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

_MEMORY = 0.9


@dataclass(frozen=True)
class Options(GradientOptions):
    """The inner loop, the outer step, and the score term's baseline."""

    score_baseline: Literal["others", "none"] = option(
        "others", "Subtracted in the score term: the other tasks' mean return, or none."
    )


class SGMRLState(NamedTuple):
    """θ, the outer rule's memory, the epochs done, the mean Ĵ(θ) of late."""

    params: Params
    optimizer: Any
    epoch: jax.Array
    mean_objective: jax.Array


def sg_mrl(
    problem: Problem,
    *,
    inner_lr: Rates,
    meta_optimizer: optax.GradientTransformation | OuterRule,
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
        inner_lr: α, the step size of the inner loop; a scalar, traced or not.
        meta_optimizer: takes the meta-gradient; an Optax transformation, or another
            rule of the outer step.
        num_inner_steps: N, how many gradient steps the inner loop takes.
        score_baseline: b, the mean of Ĵ(θ) over the other tasks' first data (with one
            task over earlier epochs), or none.
        score_reduction: "sum" over the steps of a collection is exact; their "mean" is
            E-MAML's scale.

    Returns:
        The learner.

    References:
        Fallah, Georgiev, Mokhtari, Ozdaglar: On the Convergence Theory of Debiased
        Model-Agnostic Meta-Reinforcement Learning, NeurIPS 2021.
        Stadie et al.: Some Considerations on Learning to Explore via
        Meta-Reinforcement Learning, NeurIPS 2018.
    """
    rule = outer_rule(meta_optimizer)

    def init(key: jax.Array) -> SGMRLState:
        params = problem.init(key)
        return SGMRLState(params, rule.init(params), jnp.int32(0), jnp.zeros(()))

    def loss_at(state: SGMRLState, num_tasks: int) -> MetaLoss:
        def baseline(before: jax.Array) -> jax.Array:
            if score_baseline == "none":
                return jnp.zeros_like(before)
            if num_tasks == 1:
                return state.mean_objective
            return mean_of_others(before, num_tasks)

        return partial(
            meta_loss,
            inner_lr=inner_lr,
            baseline=baseline,
            score_reduction=score_reduction,
        )

    def step(key: jax.Array, state: SGMRLState, tasks: Task) -> tuple[SGMRLState, Info]:
        keys = collection_keys(key, tasks, num_inner_steps + 1)
        params, optimizer, info, seen = outer_step(
            problem,
            loss_at(state, len(keys)),
            rule,
            keys,
            tasks,
            state.params,
            state.optimizer,
        )
        before = jax.vmap(lambda data: problem.objective(first(data)))(seen.data)
        memory = jnp.where(state.epoch == 0, 0, _MEMORY).astype(before.dtype)
        mean = memory * state.mean_objective + (1 - memory) * jnp.mean(before)
        return SGMRLState(params, optimizer, state.epoch + 1, mean), info

    def adapt(
        key: jax.Array, state: SGMRLState, task: Task, num_steps: int
    ) -> tuple[Params, jax.Array]:
        return adaptation_curve(
            problem, key, state.params, task, num_steps, inner_lr=inner_lr
        )

    return MetaLearner(init, step, adapt)


def meta_loss(
    problem: Problem,
    params: Params,
    sources: Source,
    task: Task,
    *,
    inner_lr: Rates,
    baseline: Callable[[jax.Array], jax.Array],
    score_reduction: Literal["sum", "mean"],
) -> tuple[jax.Array, Seen]:
    r"""MAML's loss minus sg(Ĵ(θ') − b) Σ_j log q(𝒟_j; θ_j).

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        params: θ, from which the inner loop starts.
        sources: the N + 1 keys of the collections, or stored data, stacked on axis 0.
        task: 𝒯_i, the parameters of one task.
        inner_lr: α, as `inner_loop` takes it.
        baseline: from this task's Ĵ(θ) to b, which must not depend on it.
        score_reduction: "sum" over the steps of a collection, or "mean".

    Returns:
        The loss, and what was seen; the loss that is shown is MAML's part alone.
    """
    path = inner_loop(problem, sources, params, task, inner_lr=inner_lr)
    loss, seen = outer_loss(problem, path)
    before, after = (
        problem.objective(end) for end in (first(path.data), last(path.data))
    )
    # How well an adaptation went weighs its score; it is not differentiated itself.
    weight = jax.lax.stop_gradient(after - baseline(jax.lax.stop_gradient(before)))
    return loss - weight * _score(problem, path, score_reduction), seen


def _score(
    problem: Problem, path: Adaptation, reduction: Literal["sum", "mean"]
) -> jax.Array:
    """Σ_j log q(𝒟_j; θ_j) over the collections that inner steps were taken on."""

    def log_likelihood(params: Params, data: Data) -> jax.Array:
        return jnp.sum(problem.log_probs(params, data))

    scores = jax.vmap(value(problem, log_likelihood))(
        but_last(path.params), but_last(path.data)
    )
    if reduction == "mean":
        scores = scores / but_last(path.num_steps).astype(scores.dtype)
    return jnp.sum(scores)
