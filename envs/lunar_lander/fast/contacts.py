"""The fast solver's eyes: whether a leg touches the edges below it, and the hull's gap.

Whether a body counts as touching an edge is asked as Box2D asks it, by the gaps along
the faces of both. Leading axes are edges (left and right), then legs.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.terrain import Ground
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    dot,
    fixed,
    right_of,
    turn,
    turn_back,
)

HALF_WIDTH, HALF_HEIGHT = (float(half) for half in c.LEG_VERTICES[2])
# The bottom corners of a leg: on which side of its own frame they are, `[2, 1, 1]`.
SIDES = np.array([-1.0, 1.0], np.float32).reshape(2, 1, 1)


def corner(centre: Vector, q: Vector, side: jax.Array | np.ndarray) -> Vector:
    """The bottom corner of a leg on one of its `SIDES`.

    Args:
        centre: where the leg's centre is, m.
        q: the rotation of the leg.
        side: −1 for the left corner in the leg's own frame, 1 for the right one.
    """
    down = fixed(q.y * HALF_HEIGHT, q.x * -HALF_HEIGHT)
    return centre + down + q * (HALF_WIDTH * side)


def legs_touch(centre: Vector, q: Vector, ground: Ground) -> jax.Array:
    """Whether legs and edges have a point of contact, as Box2D finds them.

    No face of either keeps them more than 0.02 m apart; and of that face which does so
    best, what is over it of the other one comes as near. So a corner just beyond the
    end of an edge does not touch it.

    Args:
        centre: where the legs' centres are, m, `[2, L]`.
        q: the rotations of the legs, `[2, L]`.
        ground: the two edges below each leg.

    Returns:
        Whether the left and the right edge touches each leg, `[2, 2, L]`.
    """
    vertices = turn_back(q, ground.vertices - centre)
    start, end = vertices[:2], vertices[1:]
    facing = turn_back(q, ground.ups)
    height = dot(centre - ground.vertices[1:2], ground.ups)
    reach = HALF_WIDTH * jnp.abs(facing.x) + HALF_HEIGHT * jnp.abs(facing.y)
    aside = _aside(start.x, end.x) - HALF_WIDTH
    above = _aside(start.y, end.y) - HALF_HEIGHT
    edge_gap, leg_gap = jnp.abs(height) - reach, jnp.maximum(aside, above)
    near = jnp.maximum(edge_gap, leg_gap) <= 2 * c.SKIN
    by_leg = leg_gap > 0.98 * edge_gap + 0.001
    over_leg = _over_leg(start, end, beside=aside > above)
    over_edge = _over_edge(start, end, facing, height)
    return near & (jnp.where(by_leg, over_leg, over_edge) <= 2 * c.SKIN)


def _over_edge(
    start: Vector, end: Vector, facing: Vector, height: jax.Array
) -> jax.Array:
    """How high the leg's lower face is where it is over the edge."""
    flat = jnp.abs(facing.y) >= jnp.abs(facing.x)
    middle = Vector(
        jnp.where(flat, 0, -jnp.sign(facing.x) * HALF_WIDTH),
        jnp.where(flat, -jnp.sign(facing.y) * HALF_HEIGHT, 0),
    )
    half = Vector(jnp.where(flat, HALF_WIDTH, 0), jnp.where(flat, 0, HALF_HEIGHT))
    along = right_of(facing)
    rise, run = dot(half, facing), dot(half, along)
    height = height + dot(middle, facing)
    place = dot(middle - start, along)
    return _lowest(
        (height - rise, height + rise),
        (place - run, place + run),
        (0.0, dot(end - start, along)),
    )


def _over_leg(start: Vector, end: Vector, beside: jax.Array) -> jax.Array:
    """How high the edge is over one of the leg's faces, beside or below the leg."""
    outward = jnp.sign(jnp.where(beside, start.x + end.x, start.y + end.y))
    width = jnp.where(beside, HALF_WIDTH, HALF_HEIGHT)
    half_length = jnp.where(beside, HALF_HEIGHT, HALF_WIDTH)
    return _lowest(
        (
            outward * jnp.where(beside, start.x, start.y) - width,
            outward * jnp.where(beside, end.x, end.y) - width,
        ),
        (jnp.where(beside, start.y, start.x), jnp.where(beside, end.y, end.x)),
        (-half_length, half_length),
    )


def _lowest(
    heights: tuple[jax.Array, jax.Array],
    places: tuple[jax.Array, jax.Array],
    span: tuple[jax.Array | float, jax.Array],
) -> jax.Array:
    """The least height of a segment's ends, cut off at a span's; infinite beyond it."""
    length = places[1] - places[0]
    slope = heights[1] - heights[0]
    slope = slope / jnp.where(jnp.abs(length) > 1e-6, length, 1)
    low = jnp.maximum(jnp.minimum(*places), span[0])
    high = jnp.minimum(jnp.maximum(*places), span[1])
    first = heights[0] + (low - places[0]) * slope
    second = heights[0] + (high - places[0]) * slope
    return jnp.where(low <= high, jnp.minimum(first, second), jnp.inf)


def _aside(a: jax.Array, b: jax.Array) -> jax.Array:
    """How far two coordinates lie both on one side of zero."""
    return jnp.maximum(jnp.minimum(a, b), -jnp.maximum(a, b))


def hull_gap(centre: Vector, q: Vector, ground: Ground) -> jax.Array:
    """The widest gap that a face of hull or edge keeps between them, m, `[L]`.

    Args:
        centre: where the hull's centre of mass is, m, `[L]`.
        q: the rotation of the hull, `[L]`.
        ground: the two edges below the hull.
    """
    x, y = (c.HULL_VERTICES[:, i].reshape(6, 1, 1).astype(q.x.dtype) for i in range(2))
    normals = c.NORMALS[c.HULL].astype(q.x.dtype)
    offsets = np.sum(normals * c.HULL_VERTICES, 1).reshape(6, 1, 1).astype(q.x.dtype)
    position = centre - turn(q, fixed(*c.HULL_CENTRE))
    facing = turn_back(q, ground.ups)
    height = dot(position - ground.vertices[1:2], ground.ups)
    heights = height + (facing.x * x + facing.y * y)
    of_edge = jnp.maximum(jnp.min(heights, axis=0), -jnp.max(heights, axis=0))
    vertices = turn_back(q, ground.vertices - position)
    along = vertices.x * normals[:, 0].reshape(6, 1, 1)
    along = along + vertices.y * normals[:, 1].reshape(6, 1, 1)
    beside = jnp.minimum(along[:, :2], along[:, 1:]) - offsets
    return jnp.min(jnp.maximum(of_edge, jnp.max(beside, axis=0)), axis=0)
