"""How XLA on a CPU is kept from computing the same thing again and again."""

from typing import Any

import jax
import jax.numpy as jnp


def run_time_one(like: jax.Array) -> jax.Array:
    """A 1.0 that the compiler cannot know: the argument counts steps and is never < 0."""
    return jnp.where(like < 0, 2.0, 1.0)


def materialise(tree: Any, one: jax.Array | None) -> Any:
    """The same values, computed once and kept.

    XLA's fusion on a CPU copies every cheap operation into each of its consumers, so a
    long step with shared intermediates explodes in code and in run time. A division
    counts as expensive and is never copied, and x/1 is exact. Where `one` is None, as
    on other devices, nothing is done.
    """
    if one is None:
        return tree

    def kept(leaf: jax.Array) -> jax.Array:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        return leaf / one.astype(leaf.dtype)

    return jax.tree.map(kept, tree)
