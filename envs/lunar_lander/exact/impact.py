"""The time of impact of a moving body with an edge of the ground.

Box2D's answer is exact to a tolerance only, so its root finder is followed step by step
(`b2TimeOfImpact.cpp`). The distance of two convex shapes is found here by looking at
all pairs of features instead of Box2D's iteration (`b2Distance.cpp`).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, origin
from dmaml_jax.envs.lunar_lander.terrain import Edge
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    dot,
    length,
    right_of,
    row,
    turn,
    unit,
    where,
)

UPPER = c.IMPACT_TARGET + c.IMPACT_TOLERANCE
LOWER = c.IMPACT_TARGET - c.IMPACT_TOLERANCE


class Axis(struct.PyTreeNode):
    """A direction along which body and edge are apart.

    Attributes:
        of_body: whether it turns with the body, as the normal of one of its sides.
        direction: from the ground to the body in the world's frame, or from the body
            to the ground in its own.
        point: where the axis begins: of the ground, or of the body in its own frame.
    """

    of_body: Any
    direction: Vector
    point: Vector


def at(start: Body, end: Body, t: Any) -> Body:
    """The body at a fraction t of its way."""
    return end.replace(
        centre=start.centre * (1 - t) + end.centre * t,
        angle=start.angle * (1 - t) + end.angle * t,
    )


def _vertices(body: Body, shape: Shape) -> list[Vector]:
    position, q = origin(body, shape)
    return [position + turn(q, row(shape.vertices, i)) for i in range(6)]


def separation(
    body: Body, shape: Shape, edge: Edge
) -> tuple[jax.Array, jax.Array, Axis]:
    """Distance of body and edge, whether they overlap, and the axis of the distance."""
    _, q = origin(body, shape)
    vertices = _vertices(body, shape)
    along = edge.end - edge.start
    below = right_of(unit(along))
    heights = [dot(below, vertex - edge.start) for vertex in vertices]
    lowest = highest = heights[0]
    for height in heights[1:]:
        lowest, highest = jnp.minimum(lowest, height), jnp.maximum(highest, height)
    apart = jnp.maximum(lowest, -highest)

    best = jnp.full_like(body.angle, jnp.inf)
    axis = Axis(jnp.array(False), below, edge.start)
    ends = (edge.start, edge.end)
    for vertex, height in zip(vertices, heights, strict=True):
        t = dot(vertex - edge.start, along) / dot(along, along)
        beside = (t > 0) & (t < 1)
        corner = where(t <= 0, edge.start, edge.end)
        to_corner = vertex - corner
        distance = jnp.where(beside, jnp.abs(height), length(to_corner))
        face = where(height >= 0, below, -below), (edge.start + edge.end) * 0.5
        direction, point = where(beside, face, (unit(to_corner), corner))
        closer = distance < best
        axis = where(closer, Axis(jnp.array(False), direction, point), axis)
        best = jnp.minimum(best, distance)
    for i in range(6):
        side = vertices[(i + 1) % 6] - vertices[i]
        outward = turn(q, row(shape.normals, i))
        offsets = [dot(outward, end - vertices[i]) for end in ends]
        apart = jnp.maximum(apart, jnp.minimum(offsets[0], offsets[1]))
        middle = (row(shape.vertices, i) + row(shape.vertices, (i + 1) % 6)) * 0.5
        for end, offset in zip(ends, offsets, strict=True):
            t = dot(end - vertices[i], side)
            beside = (t > 0) & (t < dot(side, side))
            distance = jnp.where(beside, jnp.abs(offset), jnp.inf)
            own = row(shape.normals, i)
            direction = where(offset >= 0, own, -own)
            closer = distance < best
            axis = where(closer, Axis(jnp.array(True), direction, middle), axis)
            best = jnp.minimum(best, distance)
    return best, apart <= 0, axis


def _deepest(
    axis: Axis, body: Body, shape: Shape, edge: Edge
) -> tuple[jax.Array, jax.Array]:
    """The smallest gap along an axis, and the number of the point that has it."""
    position, q = origin(body, shape)
    numbers = jnp.arange(6)
    levers = turn(q, shape.vertices) + (position - axis.point)
    heights = dot(levers, axis.direction)
    lowest = jnp.min(heights)
    vertex = jnp.min(jnp.where(heights == lowest, numbers, 6))
    facing, foot = turn(q, axis.direction), position + turn(q, axis.point)
    start, end = dot(edge.start - foot, facing), dot(edge.end - foot, facing)
    gap = jnp.where(axis.of_body, jnp.minimum(start, end), lowest)
    return gap, jnp.where(axis.of_body, (end < start).astype(vertex.dtype), vertex)


def _gap(
    axis: Axis, number: jax.Array, body: Body, shape: Shape, edge: Edge
) -> jax.Array:
    """The gap along an axis at the point of a given number."""
    position, q = origin(body, shape)
    chosen = jnp.arange(6) == number
    local = jax.tree.map(
        lambda leaf: jnp.sum(jnp.where(chosen, leaf, 0)), shape.vertices
    )
    vertex = position + turn(q, local)
    of_ground = dot(vertex - axis.point, axis.direction)
    corner = where(number == 0, edge.start, edge.end)
    foot = position + turn(q, axis.point)
    of_body = dot(corner - foot, turn(q, axis.direction))
    return jnp.where(axis.of_body, of_body, of_ground)


class _Search(struct.PyTreeNode):
    """A search for the time of impact: what is known so far."""

    t: Any
    done: Any
    touching: Any
    rounds: Any


def time_of_impact(
    start: Body, end: Body, shape: Shape, edge: Edge, wanted: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """When a body comes within 5 mm of an edge.

    Args:
        start: the body's pose at t = 0.
        end: at t = 1; centre and angle move evenly between the two.
        shape: of the body.
        edge: of the ground.
        wanted: whether to search at all.

    Returns:
        The fraction t, and whether there is an impact at all.
    """

    def gap_at(axis: Axis, number: jax.Array, t: Any) -> jax.Array:
        return _gap(axis, number, at(start, end, t), shape, edge)

    def root(
        axis: Axis, number: Any, t1: Any, t2: Any, s1: Any, s2: Any, go: Any
    ) -> Any:
        """A time at which the gap is the wanted one: bisection and secants in turn."""

        def step(carry: Any) -> Any:
            a1, a2, s1, s2, _, tries = carry
            secant = a1 + (c.IMPACT_TARGET - s1) * (a2 - a1) / (s2 - s1)
            t = jnp.where(tries % 2 == 1, secant, 0.5 * (a1 + a2))
            s = gap_at(axis, number, t)
            hit = jnp.abs(s - c.IMPACT_TARGET) < c.IMPACT_TOLERANCE
            above = s > c.IMPACT_TARGET
            a1, s1 = where(above & ~hit, (t, s), (a1, s1))
            a2, s2 = where(above, (a2, s2), (t, s))
            a2 = jnp.where(hit, t, a2)
            return a1, a2, s1, s2, hit, tries + 1

        def searching(carry: Any) -> jax.Array:
            return ~carry[4] & (carry[5] < c.MAX_ROOT_ITERATIONS) & go

        no, zero = jnp.array(False), jnp.int32(0)
        found = jax.lax.while_loop(searching, step, (t1, t2, s1, s2, no, zero))
        return jnp.where(found[4], found[1], t2)

    def push_back(axis: Axis, search: _Search) -> _Search:
        """Go back from the end until the deepest point just touches."""

        def step(carry: Any) -> Any:
            search, t2, _, rounds = carry
            s2, number = _deepest(axis, at(start, end, t2), shape, edge)
            apart = s2 > UPPER
            reached = ~apart & (s2 > LOWER)
            s1 = gap_at(axis, number, search.t)
            open_ = ~apart & ~reached
            failed = open_ & (s1 < LOWER)
            touching = open_ & ~failed & (s1 <= UPPER)
            go = open_ & ~failed & ~touching
            earlier = root(axis, number, search.t, t2, s1, s2, go)
            search = search.replace(
                t=jnp.where(reached, t2, search.t),
                done=apart | failed | touching,
                touching=touching,
            )
            return search, jnp.where(go, earlier, t2), ~go, rounds + 1

        def going(carry: Any) -> jax.Array:
            return ~carry[2] & (carry[3] < c.MAX_DEEPEST_POINTS)

        last = jnp.ones_like(search.t)
        begin = (search, last, search.done, jnp.int32(0))
        return jax.lax.while_loop(going, step, begin)[0]

    def axis_round(search: _Search) -> _Search:
        distance, overlap, axis = separation(at(start, end, search.t), shape, edge)
        touching = ~overlap & (distance < UPPER)
        tried = push_back(axis, search.replace(done=overlap | touching))
        search = where(
            overlap | touching,
            search.replace(done=jnp.array(True), touching=touching),
            tried,
        )
        return search.replace(rounds=search.rounds + 1)

    def unfinished(search: _Search) -> jax.Array:
        return ~search.done & (search.rounds < c.MAX_AXES)

    no = jnp.array(False)
    search = _Search(jnp.zeros_like(start.angle), ~wanted, no, jnp.int32(0))
    search = jax.lax.while_loop(unfinished, axis_round, search)
    return search.t, search.touching & wanted
