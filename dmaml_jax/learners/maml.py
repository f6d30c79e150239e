"""MAML and FOMAML (Finn, Abbeel and Levine 2017).

For each task 𝒯_i of an epoch (lines 4 to 8 of Algorithm 1, arXiv 2510.00212):

    collect 𝒟_i with θ;   θ'_i ← θ + α ∇J_i(θ)          (Eq. 2a)
    collect 𝒟'_i with θ'_i

and θ ← θ + β ∇_θ Σ_i J_i(θ'_i) on the 𝒟'_i             (Eq. 2b, line 9).
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from dmaml_jax.learners.base import (
    Seen,
    gradient_learner,
    loss_on_data,
    outer_loss,
    seen_of,
)
from dmaml_jax.learners.inner_loop import Adaptation, Rates, inner_loop, last
from dmaml_jax.learners.options import GradientOptions
from dmaml_jax.options import FROM_0, option
from dmaml_jax.types import MetaLearner, OuterRule, Params, Problem, Source, Task


@dataclass(frozen=True)
class Options(GradientOptions):
    """The inner loop, the outer step, and on how much the outer step is taken."""

    outer_trajectories: int = option(
        0,
        "Trajectories of each task beyond K that the outer step takes (ours).",
        allowed=FROM_0,
    )

    def further_trajectories(self, num_trajectories: int) -> int:
        """Those of the outer step."""
        return self.outer_trajectories


class Sources(NamedTuple):
    """What an epoch's collections of a task are made of.

    Attributes:
        path: keys or stored data of the inner loop's collections, N + 1 on axis 0.
        beyond: the key or stored data of the adapted policy's further trajectories.
    """

    path: Source
    beyond: Source


def maml(
    problem: Problem,
    *,
    inner_lr: Rates,
    meta_optimizer: optax.GradientTransformation | OuterRule,
    num_inner_steps: int = 1,
    first_order: bool = False,
    outer_trajectories: int = 0,
) -> MetaLearner:
    r"""Model-agnostic meta-learning.

    The outer rule gets ∇_θ (1/M) Σ_i −J_i(θ'_i) (Eq. 2b with a mean where the paper
    writes a sum), θ'_i = θ + α ∇J_i(θ) (Eq. 2a), the inner gradient differentiated as
    well.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        inner_lr: α, the step size of the inner loop; a scalar, traced or not.
        meta_optimizer: takes the meta-gradient; an Optax transformation, or another
            rule of the outer step.
        num_inner_steps: N, how many gradient steps the inner loop takes.
        first_order: whether the inner gradient is taken as a constant (FOMAML).
        outer_trajectories: how many trajectories each adapted policy collects beyond
            K. The outer gradient is taken on all of them, so it is less noisy, and each
            task costs that many episodes more. It is a control for directed learners:
            K/M of them cost as much as the pre-step.

    Returns:
        The learner.

    References:
        Finn, Abbeel, Levine: Model-Agnostic Meta-Learning for Fast Adaptation of Deep
        Networks, ICML 2017.
    """
    return gradient_learner(
        problem,
        partial(
            meta_loss,
            inner_lr=inner_lr,
            first_order=first_order,
            outer_trajectories=outer_trajectories,
        ),
        num_collections=num_inner_steps + 1 + (outer_trajectories > 0),
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
    outer_trajectories: int = 0,
) -> tuple[jax.Array, Seen]:
    """−J_i(θ'_i(θ)) as a surrogate: its gradient in θ is a task's meta-gradient.

    Args:
        problem: the problem that is learned: its tasks, its policy and its losses.
        params: θ, from which the inner loop starts.
        sources: the N + 1 keys of the collections, or stored data, stacked on axis 0;
            with outer trajectories N + 2 keys, or `Sources`.
        task: 𝒯_i, the parameters of one task.
        inner_lr: α, as `inner_loop` takes it.
        first_order: whether ∂θ'/∂θ is taken for the identity.
        outer_trajectories: how many of θ'_i's trajectories there are beyond K.

    Returns:
        The loss, and what was seen on the way.
    """
    adapt = partial(inner_loop, inner_lr=inner_lr, second_order=not first_order)
    if not outer_trajectories:
        return outer_loss(problem, adapt(problem, sources, params, task))
    if not isinstance(sources, Sources):
        sources = Sources(sources[:-1], sources[-1])
    path = adapt(problem, sources.path, params, task)
    return _loss_beyond(problem, path, sources.beyond, task, outer_trajectories)


def _loss_beyond(
    problem: Problem, path: Adaptation, source: Source, task: Task, num: int
) -> tuple[jax.Array, Seen]:
    """The outer loss on the last collection and further trajectories of θ'_i."""
    adapted = last(path.params)
    # Sampling is a constant to every derivative.
    more = problem.collect(source, jax.lax.stop_gradient(adapted), task, num)
    data = jax.tree.map(lambda *own: jnp.concatenate(own), last(path.data), more)
    loss = loss_on_data(problem, adapted, data)
    seen = seen_of(problem, path, loss)
    return loss, seen._replace(
        return_after=problem.performance(data),
        num_steps=seen.num_steps + problem.num_steps(more),
        data=Sources(path.data, more),
        kl=problem.kl and problem.kl(adapted, data),
    )
