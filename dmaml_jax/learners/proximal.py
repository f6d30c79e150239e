"""The inner problem of iMAML: steps towards argmin_φ L(φ) + (λ/2)‖φ − θ‖²."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.learners.derivatives import value_and_gradient
from dmaml_jax.learners.inner_loop import first
from dmaml_jax.types import Data, Params, Problem, Source, Task

Walk = Callable[[Params, Data], Params]


class Solved(NamedTuple):
    """The end of the inner problem; of the way there nothing but sums.

    Attributes:
        params: φ, the parameters after the last step.
        inner: 𝒟, the trajectories that φ collected.
        outer: 𝒟', as many further trajectories of φ.
        return_before: mean undiscounted return at θ.
        num_steps: environment steps of all collections, int32.
    """

    params: Params
    inner: Data
    outer: Data
    return_before: jax.Array
    num_steps: jax.Array


def towards(
    problem: Problem, anchor: Params, *, inner_lr: Any, proximal_weight: Any
) -> Walk:
    """One step: `(φ, 𝒟) -> (φ − α ∇L(φ) + αλ θ)/(1 + αλ)`.

    The quadratic's part is taken implicitly. Where it stands still is where plain steps
    on the whole do, ∇L(φ) + λ(φ − θ) = 0, and no λ is too large for it.

    Args:
        problem: the problem that the task belongs to.
        anchor: θ, to which every step is drawn, a pytree like φ.
        inner_lr: α, the step size; it may be traced.
        proximal_weight: λ, how strongly φ is drawn to θ; it may be traced.
    """

    def moved(p: jax.Array, slope: jax.Array, start: jax.Array) -> jax.Array:
        rate, weight = (jnp.asarray(x, p.dtype) for x in (inner_lr, proximal_weight))
        pull = rate * weight
        return (p - rate * slope + pull * start) / (1 + pull)

    def walk(params: Params, data: Data) -> Params:
        return jax.tree.map(moved, params, descent(problem, params, data), anchor)

    return walk


def descent(problem: Problem, params: Params, data: Data) -> Params:
    """∇L of the inner loss, on data that these parameters collected."""
    filled = problem.advantages(params, data)
    return value_and_gradient(problem, problem.inner_loss)(params, filled)[1]


def solved(
    problem: Problem, params: Params, sources: Source, task: Task, walk: Walk
) -> Solved:
    """Take n steps from θ, each on fresh data, and collect twice more at their end.

    All n + 2 collections are one scan, so that a program holds the rollout once. It
    carries the last two data sets and stacks nothing: memory does not grow with n.

    Args:
        problem: the problem that the task belongs to.
        params: θ, from which the steps start.
        sources: the keys of the n + 2 collections, stacked on axis 0.
        task: 𝒯_i, the parameters of one task.
        walk: a step, as `towards` makes it.
    """
    num = jax.tree.leaves(sources)[0].shape[0]

    def collect_and_step(
        carry: Solved, given: tuple[Source, jax.Array]
    ) -> tuple[Solved, None]:
        source, index = given
        data = problem.collect(source, carry.params, task)
        # No lane of a vmap differs in its index: this stays one branch or the other.
        moved = jax.lax.cond(
            index < num - 2, walk, lambda params, data: params, carry.params, data
        )
        now = problem.performance(data)
        before = jnp.where(index == 0, now, carry.return_before)
        steps = carry.num_steps + problem.num_steps(data)
        return Solved(moved, carry.outer, data, before, steps), None

    like = jax.eval_shape(problem.collect, first(sources), params, task)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
    nothing = jnp.zeros_like(problem.performance(empty))
    start = Solved(params, empty, empty, nothing, jnp.int32(0))
    indices = jnp.arange(num, dtype=jnp.int32)
    return jax.lax.scan(collect_and_step, start, (sources, indices))[0]


def walked(
    problem: Problem,
    key: jax.Array,
    params: Params,
    task: Task,
    num_steps: int,
    walk: Walk,
) -> tuple[Params, jax.Array]:
    """θ after 0 … n steps, stacked on axis 0, and the mean return of each.

    Args:
        problem: the problem that the task belongs to.
        key: the random key of all collections.
        params: θ, from which the steps start.
        task: 𝒯, the parameters of the task.
        num_steps: n, how many steps are taken.
        walk: a step, as `towards` makes it.
    """

    def collect_and_step(params: Params, key: jax.Array) -> tuple[Params, Any]:
        data = problem.collect(key, params, task)
        return walk(params, data), (params, problem.performance(data))

    keys = jax.random.split(key, num_steps + 1)
    return jax.lax.scan(collect_and_step, params, keys)[1]
