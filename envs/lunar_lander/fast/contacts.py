"""The fast solver's eyes: where legs and hull stand over the ground.

A leg touches with the bottom corners of its foot, each on the edge under it. Whether it
counts as touching an edge is asked as Box2D asks it, by the gaps along all faces.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, origin
from dmaml_jax.envs.lunar_lander.numerics import materialise
from dmaml_jax.envs.lunar_lander.terrain import Edge, edge, edges_below
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    dot,
    right_of,
    rotation,
    turn,
    turn_back,
    unit,
    where,
)

HALF_WIDTH, HALF_HEIGHT = (float(half) for half in c.LEG_VERTICES[2])
SIDES = (-1.0, 1.0)  # of the two bottom corners in a leg's own frame


class Ground(struct.PyTreeNode):
    """The two edges that a body may touch.

    Attributes:
        edges: the even and the odd one.
        ups: their normals.
    """

    edges: tuple[Edge, Edge]
    ups: tuple[Vector, Vector]


def ground_below(terrain: jax.Array, body: Body, one: Any) -> Ground:
    """The even and the odd edge below a body."""
    even, odd = (edge(terrain, index) for index in edges_below(body.centre.x))
    ups = [-right_of(unit(each.end - each.start)) for each in (even, odd)]
    return materialise(Ground((even, odd), (ups[0], ups[1])), one)


def is_over_even(ground: Ground, point: Vector) -> jax.Array:
    """Whether a point is over the even edge, or beyond both and nearer to that one."""
    even, odd = ground.edges
    on_even = (even.start.x <= point.x) & (point.x < even.end.x)
    # Beyond both, the nearer one.
    left, right = (
        even.start.x < odd.start.x,
        point.x < jnp.minimum(even.start.x, odd.start.x),
    )
    beyond = point.x >= jnp.maximum(even.end.x, odd.end.x)
    return on_even | (right & left) | (beyond & ~left)


def line(ground: Ground, even: jax.Array) -> tuple[Vector, Vector]:
    """A point of the even edge or of the odd one, and that edge's normal."""
    lines = [(e.start, up) for e, up in zip(ground.edges, ground.ups, strict=True)]
    return where(even, lines[0], lines[1])


def under(ground: Ground, point: Vector) -> tuple[Vector, Vector]:
    """A point of the edge under a point, and that edge's normal."""
    return line(ground, is_over_even(ground, point))


def is_valley(ground: Ground) -> jax.Array:
    """Whether the two edges rise from the vertex between them, so to each other."""
    lean = ground.ups[0].x - ground.ups[1].x
    even_is_left = ground.edges[0].start.x < ground.edges[1].start.x
    return jnp.where(even_is_left, lean, -lean) > 0


def corner(leg: Body, q: Vector, side: Any) -> Vector:
    """The bottom corner of a leg on one of its `SIDES`."""
    return leg.centre + turn(q, Vector(HALF_WIDTH * side, -HALF_HEIGHT + 0 * side))


def leg_touches(leg: Body, q: Vector, ground: Ground, number: int) -> jax.Array:
    """Whether leg and edge have a point of contact, as Box2D finds them.

    No face of either keeps them more than 0.02 m apart; and of that face which does so
    best, what is over it of the other one comes as near. So a corner just beyond the
    end of an edge does not touch it.
    """
    edge_, up = ground.edges[number], ground.ups[number]
    ends = turn_back(q, edge_.start - leg.centre), turn_back(q, edge_.end - leg.centre)
    facing = turn_back(q, up)
    height = dot(leg.centre - edge_.start, up)
    reach = HALF_WIDTH * jnp.abs(facing.x) + HALF_HEIGHT * jnp.abs(facing.y)
    aside = _aside(ends[0].x, ends[1].x) - HALF_WIDTH
    above = _aside(ends[0].y, ends[1].y) - HALF_HEIGHT
    edge_gap, leg_gap = jnp.abs(height) - reach, jnp.maximum(aside, above)
    near = jnp.maximum(edge_gap, leg_gap) <= 2 * c.SKIN

    # The leg's lower face over the edge.
    flat = jnp.abs(facing.y) >= jnp.abs(facing.x)
    middle = Vector(
        jnp.where(flat, 0, -jnp.sign(facing.x) * HALF_WIDTH),
        jnp.where(flat, -jnp.sign(facing.y) * HALF_HEIGHT, 0),
    )
    half = Vector(jnp.where(flat, HALF_WIDTH, 0), jnp.where(flat, 0, HALF_HEIGHT))
    corners = middle - half, middle + half
    size = dot(edge_.end - edge_.start, right_of(up))
    over_edge = _lowest(
        [height + dot(each, facing) for each in corners],
        [dot(each - ends[0], right_of(facing)) for each in corners],
        (0.0, size),
    )
    # The edge beside or below one of the leg's faces.
    beside = aside > above
    outward = jnp.where(beside, ends[0].x + ends[1].x, ends[0].y + ends[1].y)
    width, half_length = (
        jnp.where(beside, *each)
        for each in ((HALF_WIDTH, HALF_HEIGHT), (HALF_HEIGHT, HALF_WIDTH))
    )
    over_leg = _lowest(
        [jnp.sign(outward) * jnp.where(beside, e.x, e.y) - width for e in ends],
        [jnp.where(beside, e.y, e.x) for e in ends],
        (-half_length, half_length),
    )
    by_leg = leg_gap > 0.98 * edge_gap + 0.001
    return near & (jnp.where(by_leg, over_leg, over_edge) <= 2 * c.SKIN)


def _lowest(heights: list[Any], places: list[Any], span: tuple[Any, Any]) -> jax.Array:
    """The least height of a segment's ends, cut off at a span's; infinite beyond it."""
    length = places[1] - places[0]
    slope = heights[1] - heights[0]
    slope = slope / jnp.where(jnp.abs(length) > 1e-6, length, 1)
    low = jnp.maximum(jnp.minimum(*places), span[0])
    high = jnp.minimum(jnp.maximum(*places), span[1])
    cut = [heights[0] + (place - places[0]) * slope for place in (low, high)]
    return jnp.where(low <= high, jnp.minimum(*cut), jnp.inf)


def _aside(a: jax.Array, b: jax.Array) -> jax.Array:
    """How far two coordinates lie both on one side of zero."""
    return jnp.maximum(jnp.minimum(a, b), -jnp.maximum(a, b))


def hull_gap(hull: Body, shape: Shape, ground: Ground) -> jax.Array:
    """The widest gap that a face of hull or edge keeps between them, m."""
    position, q = origin(hull, shape)
    vertices = [Vector(float(x), float(y)) for x, y in c.HULL_VERTICES]
    normals = [Vector(float(x), float(y)) for x, y in c.NORMALS[c.HULL]]
    gaps = []
    for edge_, up in zip(ground.edges, ground.ups, strict=True):
        ends = [turn_back(q, end - position) for end in (edge_.start, edge_.end)]
        facing = turn_back(q, up)
        height = dot(position - edge_.start, up)
        gap = height + _smallest([dot(facing, vertex) for vertex in vertices])
        gap = jnp.maximum(
            gap, -(height - _smallest([-dot(facing, v) for v in vertices]))
        )
        for vertex, normal in zip(vertices, normals, strict=True):
            offset = float(dot(normal, vertex))
            beside = [dot(normal, end) for end in ends]
            gap = jnp.maximum(gap, jnp.minimum(beside[0], beside[1]) - offset)
        gaps.append(gap)
    return jnp.minimum(gaps[0], gaps[1])


def _smallest(values: list[jax.Array]) -> jax.Array:
    smallest = values[0]
    for value in values[1:]:
        smallest = jnp.minimum(smallest, value)
    return smallest


def leg_rotation(leg: Body, one: Any) -> Vector:
    """A leg's rotation, to be shared."""
    return materialise(rotation(leg.angle), one)
