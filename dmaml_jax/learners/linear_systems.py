"""Systems A x = b of a symmetric A that is only ever applied, and how curved it is.

Neither JAX's conjugate gradients nor Lineax's report what is needed here: the residual,
and the least curvature that was met. Nothing here calls LAPACK, so that it may run on
any device and under any vmap.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Apply = Callable[[jax.Array], jax.Array]

_ATTEMPTS = 4
_BISECTIONS = 60


class Solution(NamedTuple):
    """What a solver found, and what it saw on the way.

    Attributes:
        x: the solution, shaped like b.
        residual: ‖b − (A + μ) x‖ / ‖b‖, 0 where b is 0.
        curvature: the least curvature of A that was seen, an upper bound of its least
            eigenvalue; infinite where b is 0 and nothing was seen.
        damping: μ, what was added to A's diagonal.
    """

    x: jax.Array
    residual: jax.Array
    curvature: jax.Array
    damping: jax.Array


def conjugate_gradients(
    apply: Apply, b: jax.Array, *, iterations: int, floor: Any
) -> Solution:
    """Solve (A + μ) x = b by conjugate gradients, with no more damping μ than need be.

    They need a positive definite A. Where the curvature pᵀAp/pᵀp of a direction is
    below the floor, they begin again with so much damping that this direction's is at
    the floor, at most three times. Should the last attempt meet such a direction too,
    it ends before it.

    Args:
        apply: `(p) -> A p`, A symmetric.
        b: the right-hand side, `[P]`.
        iterations: how often A is applied in an attempt. As many times as there are
            dimensions are exact but for rounding.
        floor: the least curvature that is left without damping, above 0; it may be
            traced.
    """
    rounding = (100 * jnp.finfo(b.dtype).eps) ** 2 * jnp.sum(b * b)

    def attempt(damping: jax.Array) -> Solution:
        def iterate(_: Any, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            x, r, p, least, going = carry
            length = jnp.sum(r * r)
            # What is left of r then is rounding, whose curvature says nothing.
            going = going & (length > rounding)
            applied = apply(p) + damping * p
            along = jnp.sum(p * applied)
            curvature = along / jnp.where(going, jnp.sum(p * p), 1)
            least = jnp.where(going, jnp.minimum(least, curvature), least)
            going = going & (curvature >= floor)
            step = jnp.where(going, length / jnp.where(going, along, 1), 0)
            x, r = x + step * p, r - step * applied
            turn = jnp.sum(r * r) / jnp.where(going, length, 1)
            return x, r, jnp.where(going, r + turn * p, p), least, going

        nothing = jnp.full((), jnp.inf, b.dtype)
        start = (jnp.zeros_like(b), b, b, nothing, jnp.array(True))
        x, r, _, least, _ = jax.lax.fori_loop(0, iterations, iterate, start)
        return Solution(x, _share(r, b), least - damping, damping)

    def is_bent(carry: tuple[Solution, jax.Array, jax.Array]) -> jax.Array:
        found, least, attempts = carry
        return (least + found.damping < floor) & (attempts < _ATTEMPTS)

    def damped(carry: tuple[Solution, jax.Array, jax.Array]) -> Any:
        before, least, attempts = carry
        # At least twice as much: each attempt meets directions that others did not.
        found = attempt(jnp.maximum(floor - least, 2 * before.damping))
        both = jnp.minimum(before.curvature, found.curvature)
        return found._replace(curvature=both), found.curvature, attempts + 1

    found = attempt(jnp.zeros((), b.dtype))
    start = (found, found.curvature, jnp.int32(1))
    return jax.lax.while_loop(is_bent, damped, start)[0]


def minimal_residuals(apply: Apply, b: jax.Array, *, iterations: int) -> Solution:
    """Solve A x = b by MINRES (Paige and Saunders 1975), be A definite or not.

    It is GMRES of a symmetric matrix, in recurrences of three terms. The curvature is
    the Lanczos estimate: the least eigenvalue of A within the space that was searched.
    Nothing is damped.

    Args:
        apply: `(p) -> A p`, A symmetric.
        b: the right-hand side, `[P]`.
        iterations: how often A is applied.
    """
    size = jnp.sqrt(jnp.sum(b * b))
    rounding = 100 * jnp.finfo(b.dtype).eps

    def iterate(carry: tuple[Any, ...], _: None) -> tuple[Any, Any]:
        x, (v_old, v), (d_old, d), turns, beta, rest, largest = carry
        (cos_old, sin_old), (cos, sin) = turns
        applied = apply(v)
        alpha = jnp.sum(v * applied)
        w = applied - alpha * v - beta * v_old
        beta_next = jnp.sqrt(jnp.sum(w * w))
        largest = jnp.maximum(largest, jnp.abs(alpha) + beta_next)
        # The column of the tridiagonal matrix, turned by the two rotations before it.
        diagonal = cos * alpha - cos_old * sin * beta
        above = sin * alpha + cos_old * cos * beta
        length = jnp.sqrt(diagonal**2 + beta_next**2)
        going = (jnp.sum(v * v) > 0) & (length > rounding * largest)
        safe = jnp.where(going, length, 1)
        new = (diagonal / safe, beta_next / safe)
        d_new = (v - sin_old * beta * d_old - above * d) / safe
        x = x + jnp.where(going, new[0] * rest, 0) * d_new
        rest = jnp.where(going, -new[1] * rest, rest)
        # A beta that is rounding ends the space: a v of 0 makes all that follows 0.
        on = going & (beta_next > rounding * largest)
        v_new = jnp.where(on, w / jnp.where(on, beta_next, 1), 0)
        beta_next = jnp.where(on, beta_next, 0)
        met = jnp.where(jnp.sum(v * v) > 0, alpha, jnp.inf)
        carry = (x, (v, v_new), (d, d_new), ((cos, sin), new), beta_next, rest, largest)
        return carry, (met, beta_next)

    zero, none = jnp.zeros_like(size), jnp.zeros_like(b)
    one = jnp.ones_like(size)
    unit = b / jnp.where(size > 0, size, 1)
    turns = ((one, zero), (one, zero))
    start = (none, (none, unit), (none, none), turns, zero, size, zero)
    (x, *_, rest, _), (alphas, betas) = jax.lax.scan(
        iterate, start, None, length=iterations
    )
    residual = jnp.abs(rest) / jnp.where(size > 0, size, 1)
    return Solution(x, residual, least_eigenvalue(alphas, betas[:-1]), zero)


def least_eigenvalue(diagonal: jax.Array, beside: jax.Array) -> jax.Array:
    """The least eigenvalue of a symmetric tridiagonal matrix, by bisection.

    A shift is below all eigenvalues where no pivot of the shifted matrix is negative
    (Sylvester). An infinite entry on the diagonal stands for no row at all.

    Args:
        diagonal: the entries on the diagonal, `[n]`.
        beside: the entries next to it, `[n − 1]`.
    """
    squares = jnp.concatenate([jnp.zeros_like(diagonal[:1]), beside**2])

    def is_below(shift: jax.Array) -> jax.Array:
        def pivot(before: jax.Array, entry: tuple[jax.Array, jax.Array]):
            alpha, square = entry
            tiny = jnp.finfo(shift.dtype).tiny
            # Next to a shift that is an eigenvalue itself, a pivot is 0.
            now = alpha - shift - square / jnp.where(before == 0, tiny, before)
            return now, now

        start = jnp.ones_like(shift)
        return jnp.all(jax.lax.scan(pivot, start, (diagonal, squares))[1] >= 0)

    def halve(_: Any, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        below = is_below(middle)
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    top = jnp.min(diagonal)
    bottom = top - 2 * jnp.max(jnp.sqrt(squares))
    ends = jax.lax.fori_loop(0, _BISECTIONS, halve, (bottom, top))
    return jnp.where(jnp.isfinite(top), (ends[0] + ends[1]) / 2, top)


def _share(r: jax.Array, b: jax.Array) -> jax.Array:
    square = jnp.sum(b * b)
    return jnp.sqrt(jnp.sum(r * r) / jnp.where(square > 0, square, 1))
