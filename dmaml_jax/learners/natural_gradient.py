"""The natural gradient: conjugate gradients on a Fisher matrix's products."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dmaml_jax.types import PyTree

Product = Callable[[PyTree], PyTree]


class Solution(NamedTuple):
    """What conjugate gradients have found.

    Attributes:
        step: s with (F + damping) s ≈ b.
        product: F s, the matrix applied to the step, without damping.
    """

    step: PyTree
    product: PyTree


def conjugate_gradients(
    product: Product, target: PyTree, *, iterations: int, damping: Any, residual: Any
) -> Solution:
    """Solve (F + damping) s = b for a matrix that is positive, given by its products.

    Args:
        product: `(v) -> F v`, for a pytree v.
        target: b, the right-hand side, a pytree.
        iterations: the largest number of iterations.
        damping: what is added to F's diagonal.
        residual: the squared length of b − (F + damping) s that is short enough.
    """

    def goes_on(carry: tuple[Any, ...]) -> jax.Array:
        index, _, _, rest, _ = carry
        return (index < iterations) & (dot(rest, rest) > residual)

    def iterate(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        index, step, image, rest, direction = carry
        along = plus(product(direction), damping, direction)
        curvature, size = dot(direction, along), dot(rest, rest)
        # Without curvature there is no way to go on; only rounding leads there.
        length = jnp.where(curvature > 0, size / _positive(curvature), 0)
        step, image = plus(step, length, direction), plus(image, length, along)
        rest = plus(rest, -length, along)
        direction = plus(rest, dot(rest, rest) / _positive(size), direction)
        return index + 1, step, image, rest, direction

    zeros = jax.tree.map(jnp.zeros_like, target)
    start = (jnp.int32(0), zeros, zeros, target, target)
    _, step, image, _, _ = jax.lax.while_loop(goes_on, iterate, start)
    return Solution(step, plus(image, -damping, step))


def to_the_bound(solution: Solution, kl_bound: Any) -> PyTree:
    """The step, as long as takes the KL's quadratic form, ½ sᵀFs, to the bound."""
    twice = dot(solution.step, solution.product)
    scale = jnp.where(twice > 0, jnp.sqrt(2 * kl_bound / _positive(twice)), 0)
    return jax.tree.map(lambda leaf: scale.astype(leaf.dtype) * leaf, solution.step)


def _positive(number: jax.Array) -> jax.Array:
    """A divisor, where its quotient is used; 1 elsewhere."""
    return jnp.where(number > 0, number, 1)


def plus(x: PyTree, factor: Any, y: PyTree) -> PyTree:
    """The sum x + factor · y, leaf by leaf."""
    return jax.tree.map(lambda a, b: a + jnp.asarray(factor, b.dtype) * b, x, y)


def dot(x: PyTree, y: PyTree) -> jax.Array:
    """The inner product of two pytrees."""
    products = jax.tree.map(lambda a, b: jnp.sum(a * b), x, y)
    return jnp.stack(jax.tree.leaves(products)).sum()
