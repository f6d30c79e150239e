"""The machinery of derivatives: gradients by pieces, and gradients of gradients.

Everything here computes what `jax.grad` would, only faster; no algorithm is in it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from dmaml_jax.learners.parts import part
from dmaml_jax.types import Data, Params, Problem, PyTree

Loss = Callable[[Params, Data], jax.Array]
Cut = Callable[[Data], Data]


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
    if problem.forward:
        return loss
    first_order = value_and_gradient(problem, loss)

    # Reverse mode through a loop over pieces would keep what each of them computed on
    # the way; here the gradient is added up beside the value, and kept alone.
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
    stack. A problem in forward mode gets the derivative along a direction instead.
    """
    first_order = value_and_gradient(problem, loss)
    if problem.forward:
        return _forward_gradient(problem, loss, first_order)

    def slope(params: Params, data: Data, direction: Params) -> jax.Array:
        along = jax.jvp(lambda p: loss(p, data), (params,), (direction,))
        return along[1]

    def pullback(
        params: Params, varied: dict[int, jax.Array], data: Data, direction: Params
    ) -> tuple[Params, dict[int, jax.Array]]:
        """∇ of the slope in θ and in those leaves of the data that depend on it."""

        def of(p: Params, v: dict[int, jax.Array], cut: Cut) -> jax.Array:
            return slope(p, cut(_with_leaves(data, v)), direction)

        with part("second_order"):
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


def _forward_gradient(
    problem: Problem, loss: Loss, first_order: Callable[..., Any]
) -> Callable[[Params, Data], Params]:
    """`(θ, data) -> ∇_θ loss`, to be differentiated along directions, piece by piece.

    A function has either a pullback or a tangent of its own, so this is another one.
    """

    @jax.custom_jvp
    def differentiable(params: Params, data: Data) -> Params:
        return first_order(params, data)[1]

    def along(
        params: Params,
        varied: dict[int, jax.Array],
        data: Data,
        directions: tuple[Params, dict[int, jax.Array]],
    ) -> Params:
        """The derivative of ∇_θ loss along θ and those leaves that depend on it."""

        def of(p: Params, v: dict[int, jax.Array], cut: Cut) -> Params:
            return jax.grad(loss)(p, cut(_with_leaves(data, v)))

        return _sum_over_pieces(
            problem,
            lambda cut: jax.jvp(partial(of, cut=cut), (params, varied), directions)[1],
            data,
        )

    def rule(primals: Any, tangents: Any) -> Any:
        params, data = primals
        moving = [
            (i, tangent)
            for i, tangent in enumerate(
                jax.tree.leaves(tangents[1], is_leaf=_is_symbolic_zero)
            )
            if not _is_symbolic_zero(tangent)
        ]
        leaves = jax.tree.leaves(data)
        varied = {i: leaves[i] for i, _ in moving}
        direction = jax.tree.map(_instantiated, tangents[0], is_leaf=_is_symbolic_zero)
        run = along if problem.pieces is None else _in_turn(along)
        tangent = run(params, varied, data, (direction, dict(moving)))
        return first_order(params, data)[1], tangent

    differentiable.defjvp(rule, symbolic_zeros=True)
    return differentiable


def fisher_product(
    problem: Problem, params: Params, data: Data, direction: Params
) -> Params:
    """∇²_θ KL(π_old ‖ π_θ) · v, at the θ that collected the data F v of that policy.

    Args:
        problem: the problem whose policy has a KL in closed form.
        params: θ, at which the second derivative is taken.
        data: what π_old collected, with the parameters of its action distribution.
        direction: v, a pytree like θ.
    """
    kl = problem.kl
    assert kl is not None

    def product(params: Params, data: Data, direction: Params) -> Params:
        return jax.jvp(jax.grad(lambda p: kl(p, data)), (params,), (direction,))[1]

    run = product if problem.pieces is None else _in_turn(product)
    return run(params, data, direction)


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
    """`f`, whose lanes are computed one after the other under a vmap.

    On a CPU this is faster than side by side: the data of a single lane fit into the
    cache, and its loop over pieces ends after its own last piece instead of after that
    of the longest lane. Tracers that `f` closes over become arguments first, so that
    they too may be mapped.
    """

    def call(*args: Any) -> PyTree:
        traced, shape = jax.make_jaxpr(f, return_shape=True)(*args)

        @jax.custom_batching.sequential_vmap
        def flat(hoisted: list[Any], *leaves: Any) -> list[Any]:
            return jaxpr_as_fun(ClosedJaxpr(traced.jaxpr, hoisted))(*leaves)

        outputs = flat(traced.consts, *jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return call
