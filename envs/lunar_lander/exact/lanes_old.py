"""Costly work for the few lanes of a batch that need it.

Under `vmap` a conditional computes both of its branches in every lane, and a loop runs
until its slowest lane is done. Most landers fly, and few of those that stand are hit at
the same moment; so the lanes that need the costly function are gathered into groups,
and only these compute it. Nested `vmap`s become one batch first.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

SMALLEST_GROUP = 32
MOST_GROUPS = 16


def where_needed(
    needed: Callable[..., jax.Array],
    cheap: Callable[..., Any],
    costly: Callable[..., Any],
) -> Callable[..., Any]:
    """The function of one lane that is `costly` where `needed`, and else `cheap`.

    Args:
        needed: whether the lane of these arguments needs the costly function.
        cheap: gives the lane's result otherwise.
        costly: of the same result. None of the three may close over traced values.
    """

    @custom_vmap
    def lane(*args: Any) -> Any:
        return jax.lax.cond(needed(*args), costly, cheap, *args)

    @custom_vmap
    def lanes(*args: Any) -> Any:
        return _in_groups(needed, cheap, costly, args)

    @lane.def_vmap
    def _(size: int, batched: Any, *args: Any) -> tuple[Any, Any]:
        out = lanes(*_broadcast(size, batched, args))
        return out, jax.tree.map(lambda _: True, out)

    @lanes.def_vmap
    def _(size: int, batched: Any, *args: Any) -> tuple[Any, Any]:
        args = _broadcast(size, batched, args)
        inner = jax.tree.leaves(args)[0].shape[1]
        flat = jax.tree.map(lambda x: x.reshape(size * inner, *x.shape[2:]), args)
        out = jax.tree.map(lambda x: x.reshape(size, inner, *x.shape[1:]), lanes(*flat))
        return out, jax.tree.map(lambda _: True, out)

    return lane


def _broadcast(size: int, batched: Any, args: Any) -> Any:
    def rows(x: jax.Array, has_rows: bool) -> jax.Array:
        return x if has_rows else jnp.broadcast_to(x, (size, *jnp.shape(x)))

    return jax.tree.map(rows, args, tuple(batched))


def _in_groups(needed: Any, cheap: Any, costly: Any, args: Any) -> Any:
    """The batch with the costly results of those that need them in their places."""
    total = jax.tree.leaves(args)[0].shape[0]
    size = min(total, max(SMALLEST_GROUP, -(-total // MOST_GROUPS)))
    groups = -(-total // size)
    need = jax.vmap(needed)(*args)
    (places,) = jnp.nonzero(need, size=groups * size, fill_value=total)
    # A group that is not full repeats a lane that needs the work anyway.
    sources = jnp.where(places < total, places, places[0])

    def group(carry: Any) -> Any:
        done, out = carry
        source = jax.lax.dynamic_slice(sources, (done,), (size,))
        place = jax.lax.dynamic_slice(places, (done,), (size,))
        found = jax.vmap(costly)(
            *jax.tree.map(lambda x: jnp.take(x, source, axis=0, mode="clip"), args)
        )
        out = jax.tree.map(lambda x, y: x.at[place].set(y, mode="drop"), out, found)
        return done + size, out

    count = jnp.sum(need, dtype=jnp.int32)
    begin = (jnp.int32(0), jax.vmap(cheap)(*args))
    return jax.lax.while_loop(lambda carry: carry[0] < count, group, begin)[1]
