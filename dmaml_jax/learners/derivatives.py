"""The inner loop: n gradient steps, and gradients that can be differentiated again."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from dmaml_jax.types import Data, Params, Problem, PyTree, Task

Loss = Callable[[Params, Data], jax.Array]
Cut = Callable[[Data], Data]


class Adaptation(NamedTuple):
    """What the inner loop found at one of its steps.

    Attributes:
        params: θ_j, which collected them.
        data: the trajectories of the step, advantages filled in.
        gradient: of the inner loss on them.
        performance: their mean undiscounted return.
        num_steps: what they cost.
    """

    params: Params
    data: Data
    gradient: Params
    performance: jax.Array
    num_steps: jax.Array


def value_and_gradient(problem: Problem, loss: Loss) -> Callable[..., Any]:
    """`(θ, data) -> (loss, ∇_θ loss)` with the data given, for first-order use.

    Where the problem offers pieces, gradients are added up piece by piece, and lanes
    of a surrounding vmap take turns.
    """
    whole = jax.value_and_grad(loss)
    if problem.pieces is None:
        return whole
    return _in_turn(
        lambda params, data: _sum_over_pieces(
            problem, lambda cut: whole(params, cut(data)), data
        )
    )


def value(problem: Problem, loss: Loss) -> Callable[[Params, Data], jax.Array]:
    """`(θ, data) -> loss`, differentiable once and in θ alone, piece by piece."""
    first_order = value_and_gradient(problem, loss)

    @jax.custom_vjp
    def differentiable(params: Params, data: Data) -> jax.Array:
        return first_order(params, data)[0]

    def backward(gradient: Params, cotangent: jax.Array) -> tuple[Params, None]:
        return jax.tree.map(lambda leaf: cotangent * leaf, gradient), None

    differentiable.defvjp(first_order, backward)
    return differentiable


def gradient(problem: Problem, loss: Loss) -> Callable[[Params, Data], Params]:
    r"""`(θ, data) -> ∇_θ loss`, to be differentiated in θ and in the data.

    Its pullback of v is written down instead of left to reverse mode through reverse
    mode: ∇_{θ, data} of the directional derivative ⟨∇_θ loss(θ, data), v⟩, which
    forward mode computes. For θ that is the Hessian-vector product, ∇² being
    symmetric; for the data it is how advantages that depend on a value head pass the
    meta-gradient on. It costs about one gradient, and any number of inner steps
    stack.
    """
    first_order = value_and_gradient(problem, loss)

    def slope(params: Params, data: Data, direction: Params) -> jax.Array:
        along = jax.jvp(lambda p: loss(p, data), (params,), (direction,))
        return along[1]

    def pullback(
        params: Params, varied: dict[int, jax.Array], data: Data, direction: Params
    ) -> tuple[Params, dict[int, jax.Array]]:
        """∇ of the slope in θ and in those leaves of the data that depend on it."""

        def of(p: Params, v: dict[int, jax.Array], cut: Cut) -> jax.Array:
            return slope(p, cut(_with_leaves(data, v)), direction)

        return _sum_over_pieces(
            problem, lambda cut: jax.grad(of, (0, 1))(params, varied, cut), data
        )

    @jax.custom_vjp
    def differentiable(params: Params, data: Data) -> Params:
        return first_order(params, data)[1]

    def forward(params: Any, data: Any) -> Any:
        leaves = jax.tree.leaves(data, is_leaf=_is_primal)
        varied = {i: leaf.value for i, leaf in enumerate(leaves) if leaf.perturbed}
        params, data = jax.tree.map(
            lambda leaf: leaf.value, (params, data), is_leaf=_is_primal
        )
        return first_order(params, data)[1], (params, varied, data)

    def backward(residuals: Any, direction: Params) -> Any:
        direction = jax.tree.map(_instantiated, direction, is_leaf=_is_symbolic_zero)
        params, varied, data = residuals
        run = pullback if problem.pieces is None else _in_turn(pullback)
        in_params, in_data = run(params, varied, data, direction)
        leaves, structure = jax.tree.flatten(data)
        return in_params, jax.tree.unflatten(
            structure, [in_data.get(i) for i in range(len(leaves))]
        )

    differentiable.defvjp(forward, backward, symbolic_zeros=True)
    return differentiable


def inner_steps(
    problem: Problem,
    keys: jax.Array,
    params: Params,
    task: Task,
    *,
    inner_lr: Any,
    first_order: bool,
    second_order_share: jax.Array | None = None,
) -> tuple[Params, list[Adaptation]]:
    r"""θ_{j+1} = θ_j − α ∇_θ loss(θ_j, 𝒟_j), one step per key (MAML, Eq. 2a).

    Differentiable in θ and α. K fresh trajectories are collected at every step.

    Args:
        problem: what is adapted to.
        keys: one per step, `[N]`.
        params: θ_0 = θ.
        task: 𝒯_i.
        inner_lr: α, a scalar or a pytree like θ; or a list of those, one per step.
        first_order: take the inner gradients as constants (FOMAML).
        second_order_share: w of MAML++'s derivative-order annealing: the inner gradient
            is w·g + (1 − w)·sg(g), the same at 0 as `first_order`; it may be traced.

    Returns:
        θ_N, and what was seen at each step.
    """
    inner_gradient = gradient(problem, problem.inner_loss)
    seen = []
    rates = inner_lr if isinstance(inner_lr, list) else [inner_lr] * len(keys)
    for key, rate in zip(keys, rates, strict=True):
        data = problem.advantages(params, problem.collect(key, params, task))
        step = inner_gradient(params, data)
        performance, num_steps = problem.performance(data), problem.num_steps(data)
        seen.append(Adaptation(params, data, step, performance, num_steps))
        if first_order:
            # FOMAML drops the second-order term: ∂θ'/∂θ = I.
            step = jax.lax.stop_gradient(step)
        if second_order_share is not None:
            step = _blended(step, second_order_share)
        params = jax.tree.map(
            lambda p, a, g: p - a * g, params, _rates(rate, params), step
        )
    return params, seen


def adaptation_curve(
    problem: Problem,
    key: jax.Array,
    params: Params,
    task: Task,
    num_steps: int,
    *,
    inner_lr: Any,
) -> tuple[Params, jax.Array]:
    """Adapt to a task and watch: the return after 0 … num_steps inner steps.

    Args:
        problem: what is adapted to.
        key: consumed.
        params: θ.
        task: 𝒯.
        num_steps: inner steps.
        inner_lr: α, as `inner_steps` takes it.

    Returns:
        θ after 0 … num_steps steps, stacked on axis 0, and mean undiscounted returns
        `[num_steps + 1]`, each over the K trajectories that the next step learns from
        (the last over K more).
    """
    keys = jax.random.split(key, num_steps + 1)
    adapted, seen = inner_steps(
        problem, keys[:-1], params, task, inner_lr=inner_lr, first_order=True
    )
    last = problem.performance(problem.collect(keys[-1], adapted, task))
    path = [step.params for step in seen] + [adapted]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *path)
    return stacked, jnp.stack([step.performance for step in seen] + [last])


def _blended(step: Params, share: jax.Array) -> Params:
    """Of value `step`, and of derivative `share` times its own."""

    def blend(g: jax.Array) -> jax.Array:
        # What is constant here is FOMAML's part of the annealed derivative.
        return share * g + (1 - share) * jax.lax.stop_gradient(g)

    return jax.tree.map(blend, step)


def _rates(inner_lr: Any, params: Params) -> PyTree:
    if jax.tree.structure(inner_lr) == jax.tree.structure(params):
        return inner_lr
    return jax.tree.map(lambda leaf: jnp.asarray(inner_lr, leaf.dtype), params)


def _is_primal(leaf: Any) -> bool:
    return isinstance(leaf, jax.custom_derivatives.CustomVJPPrimal)


def _is_symbolic_zero(leaf: Any) -> bool:
    return isinstance(leaf, jax.custom_derivatives.SymbolicZero)


def _instantiated(leaf: Any) -> jax.Array:
    return jnp.zeros(leaf.shape, leaf.dtype) if _is_symbolic_zero(leaf) else leaf


def _with_leaves(data: Data, leaves: dict[int, jax.Array]) -> Data:
    """`data` with some of its leaves, by their number, replaced."""
    old, structure = jax.tree.flatten(data)
    return structure.unflatten([leaves.get(i, leaf) for i, leaf in enumerate(old)])


def _sum_over_pieces(
    problem: Problem, f: Callable[[Cut], PyTree], data: Data
) -> PyTree:
    """Σ f(cut) over the pieces that hold anything; `cut(data)` is the piece."""
    cut_at = problem.pieces
    if cut_at is None:
        return f(lambda data: data)

    @jax.jit  # traced once, for its shapes and for the loop
    def of_piece(index: jax.Array) -> PyTree:
        return f(lambda data: cut_at(data).pick(index))

    def add(index: jax.Array, total: PyTree) -> PyTree:
        return jax.tree.map(jnp.add, total, of_piece(index))

    start = jnp.int32(0)
    like = jax.eval_shape(of_piece, start)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
    return jax.lax.fori_loop(start, cut_at(data).num, add, zeros)


def _in_turn(f: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """`f`, whose lanes take turns under vmap: each in cache, each as long as it needs.

    Tracers that `f` closes over become arguments first, so that they too may be
    mapped.
    """

    def call(*args: Any) -> PyTree:
        traced, shape = jax.make_jaxpr(f, return_shape=True)(*args)

        @jax.custom_batching.sequential_vmap
        def flat(hoisted: list[Any], *leaves: Any) -> list[Any]:
            return jaxpr_as_fun(ClosedJaxpr(traced.jaxpr, hoisted))(*leaves)

        outputs = flat(traced.consts, *jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return call
