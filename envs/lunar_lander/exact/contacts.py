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
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.terrain import Edge
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    dot,
    first_least,
    nth,
    over,
    right_of,
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
        edge: the number of the edge.
        count: number of points; they touch if it is above 0.
        points: the first and the second point.
    """

    edge: Any
    count: Any
    points: tuple[Point, Point]


class Manifold(struct.PyTreeNode):
    """Where a body touches an edge, in frames that move with them.

    Attributes:
        count: how many points of contact there are, 0 to 2.
        body_face: whether the plane of contact is a face of the body, and the points
            are on the edge; otherwise the other way round.
        normal: the normal of the plane, in the plane's own frame.
        plane: a point of the plane, in its own frame.
        points: the points of contact, in the frame that is not the plane's.
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


class _Sides(struct.PyTreeNode):
    """Which sides of body and edge face each other.

    Attributes:
        near: whether no face of either keeps them apart.
        body_face: whether the body's face is the plane of contact, not the edge.
        face: number of the body's face that keeps them apart best.
        incident: number of the body's face that is turned to the edge.
    """

    near: Any
    body_face: Any
    face: Any
    incident: Any


def _sides(vertices: Vector, normals: Vector, upward: Vector, edge: Edge) -> _Sides:
    """The sides that meet; `upward` is the edge's normal on the body's side."""
    edge_gap = jnp.min(dot(upward, vertices - edge.start), axis=0)
    gaps = jnp.minimum(
        dot(-normals, vertices - edge.start), dot(-normals, vertices - edge.end)
    )
    least, face = first_least(-gaps)
    _, incident = first_least(dot(upward, normals))
    edge_gap, body_gap = keep((edge_gap, -least))
    near = (edge_gap <= 2 * c.SKIN) & (body_gap <= 2 * c.SKIN)
    return _Sides(near, body_gap > 0.98 * edge_gap + 0.001, face, incident)


def manifold(body: Body, shape: Shape, edge: Edge) -> Manifold:
    """Where bodies touch edges in their present poses.

    Args:
        body: the bodies in their present poses, `[…, L]`.
        shape: the shapes of the bodies; the vertices come first, `[6, …, L]`.
        edge: the two edges of each body, `[2, …, L]`.
    """
    position, q = origin(body, shape)
    corners, outwards = keep((turn(q, shape.vertices), turn(q, shape.normals)))
    below = right_of(unit(edge.end - edge.start))
    # The centroids of hull and legs are their centres of mass.
    front = dot(below, body.centre - edge.start) >= 0
    upward = keep(where(front, below, -below))
    vertices, normals = over((corners + position, outwards), front)
    sides = _sides(vertices, normals, upward, edge)
    face, body_face = sides.face, sides.body_face

    # The plane of contact belongs to one of the two, the incident segment to the other.
    chosen = jnp.where(body_face, face, sides.incident)
    following = jnp.where(chosen + 1 < shape.corners, chosen + 1, 0)
    corner, outward = nth((vertices, normals), chosen)
    ends_of_face = keep((corner, nth(vertices, following)))
    ends_of_edge = (edge.start, edge.end)
    ground = where(front, ends_of_edge, (edge.end, edge.start))
    plane, normal, segment = keep(
        (
            where(body_face, ends_of_face, ground),
            where(body_face, outward, upward),
            where(body_face, ends_of_edge, ends_of_face),
        )
    )
    plane_numbers = (
        jnp.where(body_face, chosen, jnp.where(front, 0, 1)),
        jnp.where(body_face, following, jnp.where(front, 1, 0)),
    )
    ends = _keyed(segment, (chosen, following), sides)
    ends, remains = _cut_off(ends, sides, plane, plane_numbers, normal)
    close = [dot(normal, end[0] - plane[0]) <= 2 * c.SKIN for end in ends]
    first = where(close[0], ends[0], ends[1])
    count = close[0].astype(jnp.int32) + close[1].astype(jnp.int32)

    def local(point: Vector) -> Vector:
        return where(body_face, point, turn_back(q, point - position))

    own_normal, own_plane = nth((shape.normals, shape.vertices), face)
    return Manifold(
        count=jnp.where(sides.near & remains, count, 0),
        body_face=body_face,
        normal=where(body_face, own_normal, normal),
        plane=where(body_face, own_plane, plane[0]),
        points=(local(first[0]), local(ends[1][0])),
        keys=(first[2], ends[1][2]),
    )


def _keyed(
    segment: tuple[Vector, Vector], corners: tuple[Any, Any], sides: _Sides
) -> tuple[_End, _End]:
    """The ends of the incident segment with their corners' numbers and keys."""

    def end(i: int) -> _End:
        key = jnp.where(sides.body_face, sides.face, 256 * corners[i])
        return segment[i], corners[i], 65536 + key

    return end(0), end(1)


def _cut_off(
    ends: tuple[_End, _End],
    sides: _Sides,
    plane: tuple[Vector, Vector],
    plane_numbers: tuple[Any, Any],
    normal: Vector,
) -> tuple[tuple[_End, _End], jax.Array]:
    """Cut off what of the incident segment is beyond the ends of the plane."""
    remains = jnp.ones_like(sides.near)
    for i, side in enumerate((right_of(normal), -right_of(normal))):

        def cut_key(number: jax.Array, i: int = i) -> jax.Array:
            of_face = 65536 + sides.face + 256 * plane_numbers[i]
            of_edge = 16777216 + plane_numbers[i] + 256 * number
            return jnp.where(sides.body_face, of_face, of_edge)

        ends, some = _clipped(ends, side, dot(side, plane[i]), cut_key)
        ends, remains = keep(ends), remains & some
    return ends, remains


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
