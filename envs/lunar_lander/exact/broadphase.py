"""Which pairs of body and edge Box2D considers, and in which order it solves them.

Each body carries a box with a margin that is renewed when the body leaves it. A contact
exists from the moment when its body's box meets the edge's until a step begins with
them apart. Newer contacts are solved first, so the order in which two neighbouring
edges came to be must be known (`b2DynamicTree.cpp`, `b2ContactManager.cpp`).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, origin
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    fixed,
    numbers,
    over,
    turn,
    where,
)


class Box(struct.PyTreeNode):
    """An upright rectangle."""

    lower: Vector
    upper: Vector


class Pairs(struct.PyTreeNode):
    """A body's box and the edges that it has met; bit k of a set is edge k.

    Attributes:
        box: the body's, with its margin.
        known: set of the edges to which a contact exists.
        newer: bit k tells that the contact with edge k + 1 is newer than that with k.
    """

    box: Box
    known: Any
    newer: Any


def _box(body: Body, shape: Shape) -> tuple[Box, Vector]:
    """The smallest box of a body with its skin, and its origin."""
    position, q = origin(body, shape)
    corners = keep(turn(q, shape.vertices) + position)
    skin = fixed(c.SKIN, c.SKIN)
    lower = Vector(jnp.min(corners.x, axis=0), jnp.min(corners.y, axis=0)) - skin
    upper = Vector(jnp.max(corners.x, axis=0), jnp.max(corners.y, axis=0)) + skin
    return Box(lower, upper), position


def _met(box: Box, terrain: jax.Array) -> jax.Array:
    """The set of edges whose boxes, with their margins, a box meets."""
    margin = c.SKIN + c.BOX_MARGIN
    edges = numbers(c.NUM_EDGES, box.lower.x)
    left = edges * np.asarray(c.EDGE_WIDTH, terrain.dtype)
    low = over(jnp.minimum(terrain[:-1], terrain[1:]) - margin, box.lower.x)
    high = over(jnp.maximum(terrain[:-1], terrain[1:]) + margin, box.lower.x)
    meets = (
        (left - margin <= box.upper.x)
        & (left + (c.EDGE_WIDTH + margin) >= box.lower.x)
        & (low <= box.upper.y)
        & (high >= box.lower.y)
    )
    bits = np.left_shift(np.int32(1), edges)
    return jnp.sum(jnp.where(meets, bits, 0), axis=0, dtype=jnp.int32)


def _with_new(pairs: Pairs, terrain: jax.Array) -> Pairs:
    """Meet new edges; of several at once the last in the row counts as the newest."""
    new = _met(pairs.box, terrain) & ~pairs.known
    return pairs.replace(
        known=pairs.known | new,
        newer=(pairs.newer & ~new) | jnp.right_shift(new, 1),
    )


def created(body: Body, shape: Shape, terrain: jax.Array) -> Pairs:
    """The pairs of a body that was just created."""
    box, _ = _box(body, shape)
    margin = fixed(c.BOX_MARGIN, c.BOX_MARGIN)
    none = jnp.zeros(box.lower.x.shape, jnp.int32)
    pairs = Pairs(Box(box.lower - margin, box.upper + margin), none, none)
    return _with_new(pairs, terrain)


def swept(
    pairs: Pairs, before: Body, after: Body, shape: Shape, terrain: jax.Array
) -> Pairs:
    """The pairs after a motion: a body that left its box gets one with foresight."""
    box_before, from_ = _box(before, shape)
    box_after, to = _box(after, shape)

    def lowest(a: Any, b: Any) -> Any:
        return jax.tree.map(jnp.minimum, a, b)

    def highest(a: Any, b: Any) -> Any:
        return jax.tree.map(jnp.maximum, a, b)

    lower = lowest(box_before.lower, box_after.lower)
    upper = highest(box_before.upper, box_after.upper)
    kept = (
        (pairs.box.lower.x <= lower.x)
        & (pairs.box.lower.y <= lower.y)
        & (pairs.box.upper.x >= upper.x)
        & (pairs.box.upper.y >= upper.y)
    )
    ahead = (to - from_) * c.BOX_FORESIGHT
    margin = fixed(c.BOX_MARGIN, c.BOX_MARGIN)
    still = jax.tree.map(jnp.zeros_like, ahead)
    renewed = Box(
        lower - margin + lowest(ahead, still), upper + margin + highest(ahead, still)
    )
    pairs = pairs.replace(box=keep(where(kept, pairs.box, renewed)))
    return where(kept, pairs, _with_new(pairs, terrain))


def without_lost(pairs: Pairs, terrain: jax.Array) -> Pairs:
    """The pairs whose boxes still meet, with which a step begins."""
    return pairs.replace(known=pairs.known & _met(pairs.box, terrain))


def is_known(pairs: Pairs, edge: jax.Array) -> jax.Array:
    """Whether a contact with the edge exists."""
    return (jnp.right_shift(pairs.known, edge) & 1) == 1


def odd_first(pairs: Pairs, even: jax.Array, odd: jax.Array) -> jax.Array:
    """Whether the contact with the odd one of two neighbours is the newer one."""
    right_is_newer = (jnp.right_shift(pairs.newer, jnp.minimum(even, odd)) & 1) == 1
    return right_is_newer == (odd > even)
