"""Arithmetic that XLA on a CPU does badly: shared values, sines and cosines."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

# Gives the same values, computed once; see `keeper`.
Keep = Callable[[Any], Any]


def keeper(count: jax.Array, dtype: DTypeLike) -> Keep:
    """A function that makes XLA compute values once and keep them.

    XLA's fusion on a CPU copies every cheap operation into each of its consumers, so a
    long step with shared intermediates explodes in code and in run time. A division
    counts as expensive and is never copied, and a division by 1 is exact. The function
    divides the floats of a tree, and its truth values as 0 and 1, by a 1 that the
    compiler cannot know; on other devices it does nothing.

    Args:
        count: integers, never below 0, of which the compiler does not know that.
        dtype: of the floats.
    """
    if jax.default_backend() != "cpu":
        return lambda tree: tree
    one = jnp.where(count.reshape(-1)[0] < 0, 2, 1).astype(dtype)

    def kept(tree: Any) -> Any:
        leaves, structure = jax.tree.flatten(tree)
        floats = [i for i, x in enumerate(leaves) if x.dtype in (one.dtype, bool)]
        rows = [
            leaves[i].astype(one.dtype).reshape(-1, leaves[i].shape[-1]) for i in floats
        ]
        # One kernel for all leaves: each has a cost of its own to compile and to run.
        packed = jnp.concatenate(rows) if len(rows) > 1 else rows[0]
        # XLA would multiply by the inverse of a number that is the same everywhere, and
        # products are cheap again. It does not see that a value held between 1 and 1 is
        # such a number.
        packed = packed / jax.lax.clamp(one, packed, one)
        begin = 0
        for i, part in zip(floats, rows, strict=True):
            end = begin + part.shape[0]
            leaf = packed[begin:end].reshape(leaves[i].shape)
            leaves[i] = leaf > 0.5 if leaves[i].dtype == bool else leaf
            begin = end
        return jax.tree.unflatten(structure, leaves)

    return kept


def run_time_one(like: jax.Array) -> jax.Array | None:
    """A 1.0 that the compiler cannot know: its argument, a count, is never < 0.

    It is for `materialise`, so there is none where that is of no use.
    """
    if jax.default_backend() != "cpu":
        return None
    return 1 / jnp.where(like < 0, 2.0, 1.0)


def materialise(tree: Any, one: jax.Array | None) -> Any:
    """The same values, computed once and kept.

    XLA's fusion on a CPU copies every cheap operation into each of its consumers, so a
    long step with shared intermediates explodes in code and in run time. A division
    counts as expensive and is never copied, and x/1 is exact. The position iterations
    of 1024 lanes took 996 ms a step without it and 127 ms with it. Where `one` is None,
    as on other devices, nothing is done.
    """
    if one is None:
        return tree

    def kept(leaf: jax.Array) -> jax.Array:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        # By a divisor that is broadcast XLA would multiply, with its inverse.
        unlike = leaf > np.finfo(leaf.dtype).max / 2
        return leaf / jnp.where(unlike, jnp.ones_like(leaf), one.astype(leaf.dtype))

    return jax.tree.map(kept, tree)


# Coefficients of least greatest error on ±π/2, in powers of the angle's square.
_SIN = (-0.16666657, 0.0083330171, -0.00019806601, 2.6000242e-06)
_COS = (-0.5, 0.041666656, -0.0013888569, 2.4769291e-05, -2.6193547e-07)


def cos_sin(angle: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine of an angle together.

    In float32 they are polynomials on ±π/2, within 1.4e-7 for angles up to ±30 rad:
    on a CPU XLA's own functions take more than ten times as long.
    """
    if angle.dtype != jnp.float32:
        return jnp.cos(angle), jnp.sin(angle)
    half_turns = jnp.round(angle * np.float32(1 / np.pi))
    # π in two parts, so that the first product is exact.
    rest = angle - half_turns * np.float32(3.140625)
    rest = rest - half_turns * np.float32(np.pi - 3.140625)
    square = rest * rest
    sine, cosine = _polynomial(_SIN, square), _polynomial(_COS, square)
    half = half_turns * np.float32(0.5)
    sign = 1 - 4 * jnp.abs(half - jnp.round(half))
    return (cosine * square + 1) * sign, (sine * square * rest + rest) * sign


def _polynomial(coefficients: tuple[float, ...], x: jax.Array) -> jax.Array:
    value = coefficients[-1] * x + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        value = value * x + coefficient
    return value
