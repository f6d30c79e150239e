"""The inner loop: N gradient steps on a task, and what was met on the way."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.learners.derivatives import gradient
from dmaml_jax.learners.parts import part
from dmaml_jax.types import Data, Params, Problem, PyTree, Source, Task

Rates = Any | Callable[[jax.Array], Any]
Slope = Callable[[Params, Data], Params]


class Adaptation(NamedTuple):
    """What the inner loop went through, j = 0 … N stacked on axis 0.

    Attributes:
        params: θ_j; the last is the adapted θ_N.
        data: 𝒟_j, what θ_j collected, as it was collected. The last of them is what an
            outer loss is taken of.
        gradients: what the step at θ_j descends on 𝒟_j, by default the inner loss's
            gradient; the last is 0, as no step follows.
        performance: mean undiscounted return of 𝒟_j.
        num_steps: how many environment steps 𝒟_j took.
    """

    params: Params
    data: Data
    gradients: Params
    performance: jax.Array
    num_steps: jax.Array


def inner_loop(
    problem: Problem,
    sources: Source,
    params: Params,
    task: Task,
    *,
    inner_lr: Rates,
    second_order: Any = True,
    slope: Slope | None = None,
) -> Adaptation:
    r"""θ_{j+1} = θ_j − α ∇_θ loss(θ_j, 𝒟_j), j = 0 … N − 1 (Eq. 2a of Directed-MAML).

    Differentiable in θ and α. Every θ_j collects fresh data, θ_N too, so that the whole
    loop is one scan over N + 1 collections and a program holds the rollout once,
    whatever N is.

    Args:
        problem: the problem that the task belongs to.
        sources: the N + 1 keys of the collections (or stored data, see `replayed`),
            stacked on axis 0.
        params: θ_0 = θ, the parameters before the first step.
        task: 𝒯_i, the parameters of the task.
        inner_lr: α, a scalar or a pytree like θ; or a function from the step's number j
            (traced) to either.
        second_order: False takes the inner gradients as constants (FOMAML). A traced
            number w in [0, 1] gives them the derivative of w·g + (1 − w)·sg(g), as
            MAML++ anneals it: the same as False at 0 and as True at 1.
        slope: `(θ_j, 𝒟_j) -> ` what a step descends, by default the gradient of the
            inner loss.

    Returns:
        The parameters and data of all N + 1 collections.
    """
    slope = slope or inner_slope(problem)
    num = jax.tree.leaves(sources)[0].shape[0]
    rates = inner_lr if callable(inner_lr) else lambda _: inner_lr

    def collect_and_step(
        params: Params, given: tuple[Source, jax.Array]
    ) -> tuple[Params, Adaptation]:
        source, index = given
        # Sampling is a constant to every derivative.
        data = problem.collect(source, jax.lax.stop_gradient(params), task)
        # No lane of a vmap differs in its index: this stays one branch or the other.
        with part("inner_gradient"):
            step = jax.lax.cond(
                index < num - 1, lambda params: slope(params, data), _zeros, params
            )
        seen = Adaptation(
            params, data, step, problem.performance(data), problem.num_steps(data)
        )
        moved = jax.tree.map(
            lambda p, a, g: p - a * g,
            params,
            _like(rates(index), params),
            _with_share(step, second_order),
        )
        return moved, seen

    indices = jnp.arange(num, dtype=jnp.int32)
    _, path = jax.lax.scan(collect_and_step, params, (sources, indices))
    return path


def inner_slope(problem: Problem) -> Slope:
    """`(θ, data) -> ∇_θ` of the inner loss, to be differentiated in θ.

    Advantages that depend on a value head do so here too.
    """
    of_loss = gradient(problem, problem.inner_loss)
    return lambda params, data: of_loss(params, problem.advantages(params, data))


def adaptation_curve(
    problem: Problem,
    key: jax.Array,
    params: Params,
    task: Task,
    num_steps: int,
    *,
    inner_lr: Rates,
    slope: Slope | None = None,
) -> tuple[Params, jax.Array]:
    """Adapt to a task and watch the return after 0 … num_steps inner steps.

    Args:
        problem: the problem that the task belongs to.
        key: the random key of all collections.
        params: θ, the parameters before the first step.
        task: 𝒯, the parameters of the task.
        num_steps: how many inner steps are taken.
        inner_lr: α, as `inner_loop` takes it.
        slope: what a step descends, as `inner_loop` takes it.

    Returns:
        θ after 0 … num_steps steps, stacked on axis 0, and mean undiscounted returns
        `[num_steps + 1]`, each over the K trajectories that the next step learns from
        (the last over K more).
    """
    keys = jax.random.split(key, num_steps + 1)
    path = inner_loop(
        problem,
        keys,
        params,
        task,
        inner_lr=inner_lr,
        second_order=False,
        slope=slope,
    )
    return path.params, path.performance


def replayed(problem: Problem) -> Problem:
    """The same problem on stored data: a collection's source is the data themselves.

    `Adaptation.data` of one pass are the sources of the next, at whatever parameters.
    Steps weigh by π_θ/π_old, where the policy that collected each of them is π_old: a
    loss of log π is right at the parameters that collected the data and nowhere else.
    """
    stored = problem._replace(collect=lambda source, params, task, num=None: source)
    if problem.ratios is None or problem.reweighed is None:
        return stored
    reweighed = problem.reweighed

    def advantages(params: Params, data: Data) -> Data:
        return reweighed(params, problem.advantages(params, data))

    # A sum of ratios has the gradient that a sum of log π has where they are 1, and the
    # right one elsewhere; a score term is no more than such a sum.
    return stored._replace(advantages=advantages, log_probs=problem.ratios)


def first(tree: PyTree) -> PyTree:
    """What stands first on axis 0, such as the data that θ collected."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


def last(tree: PyTree) -> PyTree:
    """What stands last on axis 0, such as the adapted parameters."""
    return jax.tree.map(lambda leaf: leaf[-1], tree)


def but_last(tree: PyTree) -> PyTree:
    """All but the last on axis 0, such as the data that inner steps were taken on."""
    return jax.tree.map(lambda leaf: leaf[:-1], tree)


def _zeros(params: Params) -> Params:
    return jax.tree.map(jnp.zeros_like, params)


def _with_share(step: Params, second_order: Any) -> Params:
    """The inner gradient, with as much of its derivative as is asked for."""
    if second_order is True:
        return step
    # FOMAML drops the second-order term, ∂θ'/∂θ = I: the one place where it does.
    constant = jax.lax.stop_gradient(step)
    if second_order is False:
        return constant
    return jax.tree.map(
        lambda g, c: second_order * g + (1 - second_order) * c, step, constant
    )


def _like(rate: Any, params: Params) -> PyTree:
    if jax.tree.structure(rate) == jax.tree.structure(params):
        return rate
    return jax.tree.map(lambda leaf: jnp.asarray(rate, leaf.dtype), params)
