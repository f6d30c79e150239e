"""Contacts between a body and an edge of the ground, as Box2D sees them.

An edge without neighbours has two sides; the one where the polygon's centre lies is its
front. Points keep their impulses from step to step by the numbers of the features that
meet in them (`b2CollideEdge.cpp`, `b2Contact.cpp`).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, origin
from dmaml_jax.envs.lunar_lander.numerics import keep_each
from dmaml_jax.envs.lunar_lander.terrain import Edge
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    dot,
    right_of,
    row,
    turn,
    turn_back,
    unit,
    where,
)


class Point(struct.PyTreeNode):
    """What a point of contact remembers.

    Attributes:
        key: the features that meet there.
        normal: impulse away from the ground, N s.
        tangent: impulse of friction, N s.
    """

    key: Any
    normal: Any
    tangent: Any


class Contact(struct.PyTreeNode):
    """What a body and an edge remember of each other.

    Attributes:
        edge: the edge's number.
        count: number of points; they touch if it is above 0.
        points: the first and the second point.
    """

    edge: Any
    count: Any
    points: tuple[Point, Point]


class Manifold(struct.PyTreeNode):
    """Where a body touches an edge, in frames that move with them.

    Attributes:
        count: number of points.
        body_face: whether the plane of contact is a face of the body, and the points
            are on the edge; otherwise the other way round.
        normal: of the plane, in its own frame.
        plane: a point of the plane, in its own frame.
        points: in the frame that is not the plane's.
        keys: the features that meet in the points.
    """

    count: Any
    body_face: Any
    normal: Vector
    plane: Vector
    points: tuple[Vector, Vector]
    keys: tuple[Any, Any]


def no_contact(edge: jax.Array, dtype: Any) -> Contact:
    """A body and an edge, or rows of them, that do not touch."""
    zero, none = jnp.zeros(edge.shape, dtype), jnp.zeros(edge.shape, jnp.int32)
    point = Point(none, zero, zero)
    return Contact(edge, none, (point, point))


def _nth(rows: Any, index: jax.Array) -> Any:
    """The tree of one number among six, chosen without a gather."""
    chosen = rows[0]
    for i in range(1, 6):
        chosen = where(index == i, rows[i], chosen)
    return chosen


# A point of the segment to be clipped: where, its corner's number, its key.
_End = tuple[Vector, jax.Array, jax.Array]


def _clipped(
    ends: tuple[_End, _End], normal: Vector, offset: jax.Array, cut_key: Any
) -> tuple[tuple[_End, _End], jax.Array]:
    """Cut off what of a segment lies beyond a line; also tell whether any remains."""
    (first, number, _), (second, _, _) = ends
    ahead = dot(normal, first) - offset, dot(normal, second) - offset
    inside = ahead[0] <= 0, ahead[1] <= 0
    crossing = ahead[0] * ahead[1] < 0
    ratio = ahead[0] / jnp.where(crossing, ahead[0] - ahead[1], 1)
    cut = (first + (second - first) * ratio, number, cut_key(number))
    both = inside[0] & inside[1]
    kept = where(inside[0], ends[0], ends[1]), where(both, ends[1], cut)
    return kept, both | ((inside[0] | inside[1]) & crossing)


def manifold(body: Body, shape: Shape, edge: Edge) -> Manifold:
    """Where a body touches an edge in its present pose."""
    position, q = origin(body, shape)
    vertices = keep_each([position + turn(q, row(shape.vertices, i)) for i in range(6)])
    normals = keep_each([turn(q, row(shape.normals, i)) for i in range(6)])

    below = keep_each(right_of(unit(edge.end - edge.start)))
    # The centroids of hull and legs are their centres of mass.
    front = dot(below, body.centre - edge.start) >= 0
    upward = keep_each(where(front, below, -below))

    edge_gap = dot(upward, vertices[0] - edge.start)
    for vertex in vertices[1:]:
        edge_gap = jnp.minimum(edge_gap, dot(upward, vertex - edge.start))
    edge_gap = keep_each(edge_gap)

    def gap(i: int) -> jax.Array:
        """Between the body's face i and the edge before it."""
        return jnp.minimum(
            dot(-normals[i], vertices[i] - edge.start),
            dot(-normals[i], vertices[i] - edge.end),
        )

    body_gap, face = gap(0), jnp.int32(0)
    opposition, incident = dot(upward, normals[0]), jnp.int32(0)
    for i in range(1, 6):
        other_gap, other_opposition = gap(i), dot(upward, normals[i])
        face = jnp.where(other_gap > body_gap, i, face)
        body_gap = jnp.maximum(body_gap, other_gap)
        incident = jnp.where(other_opposition < opposition, i, incident)
        opposition = jnp.minimum(opposition, other_opposition)
    near = (edge_gap <= 2 * c.SKIN) & (body_gap <= 2 * c.SKIN)
    body_face = body_gap > 0.98 * edge_gap + 0.001

    # The plane of contact belongs to one of the two, the incident segment to the other.
    chosen = jnp.where(body_face, face, incident)
    following = jnp.where(chosen + 1 < shape.corners, chosen + 1, 0)
    sides = list(zip(vertices, vertices[1:] + vertices[:1], normals, strict=True))
    corner, next_corner, outward = _nth(sides, chosen)
    ground = where(front, (edge.start, edge.end), (edge.end, edge.start))
    plane = keep_each(where(body_face, (corner, next_corner), ground))
    normal = keep_each(where(body_face, outward, upward))
    segment = where(body_face, (edge.start, edge.end), (corner, next_corner))
    segment = keep_each(segment)
    plane_numbers = (
        jnp.where(body_face, chosen, jnp.where(front, 0, 1)),
        jnp.where(body_face, following, jnp.where(front, 1, 0)),
    )

    def key(number: jax.Array) -> jax.Array:
        """Of an end of the incident segment."""
        return 65536 + jnp.where(body_face, face, 256 * number)

    def cut_key(corner: jax.Array) -> Any:
        """Of a cut at a corner of the plane."""
        return lambda number: jnp.where(
            body_face, 65536 + face + 256 * corner, 16777216 + corner + 256 * number
        )

    ends = (segment[0], chosen, key(chosen)), (segment[1], following, key(following))
    side = right_of(normal)
    ends, remains = _clipped(ends, side, dot(side, plane[0]), cut_key(plane_numbers[0]))
    ends = keep_each(ends)
    ends, remains_too = _clipped(
        ends, -side, dot(-side, plane[1]), cut_key(plane_numbers[1])
    )
    ends = keep_each(ends)

    close = [dot(normal, end[0] - plane[0]) <= 2 * c.SKIN for end in ends]
    valid = near & remains & remains_too
    first = where(close[0], ends[0], ends[1])
    count = close[0].astype(jnp.int32) + close[1].astype(jnp.int32)

    def local(point: Vector) -> Vector:
        return where(body_face, point, turn_back(q, point - position))

    return Manifold(
        count=jnp.where(valid, count, 0),
        body_face=body_face,
        normal=where(
            body_face, _nth([row(shape.normals, i) for i in range(6)], face), normal
        ),
        plane=where(
            body_face, _nth([row(shape.vertices, i) for i in range(6)], face), plane[0]
        ),
        points=(local(first[0]), local(ends[1][0])),
        keys=(first[2], ends[1][2]),
    )


def updated(contact: Contact, found: Manifold) -> Contact:
    """The contact at its new points, with the impulses of old ones of equal keys."""

    def remembered(slot: int) -> Point:
        key = found.keys[slot]
        zero = jnp.zeros_like(contact.points[0].normal)
        point = Point(key, zero, zero)
        for old_slot in (1, 0):
            old = contact.points[old_slot]
            same = (old.key == key) & (old_slot < contact.count)
            point = where(same, old, point)
        return where(slot < found.count, point, Point(key, zero, zero))

    return Contact(contact.edge, found.count, (remembered(0), remembered(1)))


def world_plane(
    found: Manifold, body: Body, shape: Shape
) -> tuple[Vector, Vector, Vector, Vector]:
    """The pose of the body's frame, and the plane's normal and point in the world."""
    position, q = origin(body, shape)
    normal = where(found.body_face, turn(q, found.normal), found.normal)
    plane = where(found.body_face, position + turn(q, found.plane), found.plane)
    return position, q, normal, plane
