"""Arithmetic that XLA on a CPU does badly: shared values, sines and cosines."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


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


def cos_sin(angle: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine together.

    In float32 by the polynomials of Cephes on ±π/4, measured within 1.2e-7 on ±7 rad
    and to take 0.6 ns a pair on a CPU, where XLA's own take 9.6 ns.
    """
    if angle.dtype != jnp.float32:
        return jnp.cos(angle), jnp.sin(angle)
    quarter = jnp.round(angle * np.float32(2 / np.pi))
    # π/2 in three parts, so that the products are exact.
    rest = angle - quarter * np.float32(1.5703125)
    rest = rest - quarter * np.float32(4.837512969970703e-4)
    rest = rest - quarter * np.float32(7.549789954891882e-8)
    square = rest * rest
    sin = -1.9515295891e-4 * square + 8.3321608736e-3
    sin = (sin * square - 1.6666654611e-1) * square * rest + rest
    cos = 2.443315711809948e-5 * square - 1.388731625493765e-3
    cos = (cos * square + 4.166664568298827e-2) * square * square - 0.5 * square + 1
    number = quarter.astype(jnp.int32) & 3
    swapped = (number & 1) == 1
    sin, cos = jnp.where(swapped, cos, sin), jnp.where(swapped, sin, cos)
    sin = jnp.where(number >= 2, -sin, sin)
    return jnp.where((number == 1) | (number == 2), -cos, cos), sin
