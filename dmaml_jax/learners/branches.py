"""A branch that costs nothing where it is not taken, also under a vmap over seeds."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from dmaml_jax.types import PyTree


def only_where(due: jax.Array, f: Callable[[], PyTree], otherwise: PyTree) -> PyTree:
    """`f()` where it is due, else the other; of the same shapes and types.

    A loop of one turn or none: under a vmap over seeds `lax.cond` would compute both
    sides in every epoch, and a loop that no lane is in costs nothing.
    """
    turns = due.astype(jnp.int32)
    return jax.lax.fori_loop(jnp.int32(0), turns, lambda *_: f(), otherwise)
