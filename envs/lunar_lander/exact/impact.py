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
from dmaml_jax.envs.lunar_lander.bodies import Body, Pose, Shape, origin
from dmaml_jax.envs.lunar_lander.lanes import repeated
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.terrain import Edge
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    dot,
    first_least,
    length,
    nth,
    over,
    right_of,
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


def at(start: Body, end: Body, t: jax.Array) -> Pose:
    """Where a body is at a fraction t of its way."""
    return Pose(
        centre=start.centre * (1 - t) + end.centre * t,
        angle=start.angle * (1 - t) + end.angle * t,
    )


def separation(
    body: Pose, shape: Shape, edge: Edge
) -> tuple[jax.Array, jax.Array, Axis]:
    """Distance of bodies and edges, whether they overlap, and the distance's axis."""
    position, q = origin(body, shape)
    local, own = over((shape.vertices, shape.normals), body.angle)
    vertices, outward = keep((position + turn(q, local), turn(q, own)))
    along = edge.end - edge.start
    below = keep(right_of(unit(along)))
    heights = keep(dot(below, vertices - edge.start))
    apart = jnp.maximum(jnp.min(heights, axis=0), -jnp.max(heights, axis=0))

    t = dot(vertices - edge.start, along) / dot(along, along)
    beside = (t > 0) & (t < 1)
    corner = where(t <= 0, edge.start, edge.end)
    to_corner = vertices - corner
    far = keep(jnp.where(beside, jnp.abs(heights), length(to_corner)))
    of_vertex, vertex = first_least(far)
    face = where(heights >= 0, below, -below), (edge.start + edge.end) * 0.5
    ground = where(beside, face, (unit(to_corner), corner))

    next_vertex, next_local = (_next(each) for each in (vertices, local))
    side = next_vertex - vertices
    offsets, distances = [], []
    for end in (edge.start, edge.end):
        to_end = end - vertices
        offsets.append(dot(outward, to_end))
        t = dot(to_end, side)
        beside = (t > 0) & (t < dot(side, side))
        distances.append(jnp.where(beside, jnp.abs(offsets[-1]), jnp.inf))
    apart = jnp.maximum(apart, jnp.max(jnp.minimum(*offsets), axis=0))
    # Side by side, each with both ends: of equal distances the first one counts.
    offset, distance = keep(
        (_flat(jnp.stack(offsets, axis=1)), _flat(jnp.stack(distances, axis=1)))
    )
    of_side, number = first_least(distance)
    middle = (local + next_local) * 0.5
    normal, middle = nth((own, middle), number // 2)
    normal = where(nth(offset, number) >= 0, normal, -normal)

    of_body = of_side < of_vertex
    direction, point = where(of_body, (normal, middle), nth(ground, vertex))
    return jnp.minimum(of_vertex, of_side), apart <= 0, Axis(of_body, direction, point)


def _next(vertices: Vector) -> Vector:
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf[1:], leaf[:1]]), vertices)


def _flat(leaf: jax.Array) -> jax.Array:
    return leaf.reshape(-1, *leaf.shape[2:])


def _deepest(
    axis: Axis, body: Pose, shape: Shape, edge: Edge
) -> tuple[jax.Array, jax.Array]:
    """The smallest gap along an axis, and the number of the point that has it."""
    position, q = origin(body, shape)
    local = over(shape.vertices, body.angle)
    levers = turn(q, local) + (position - axis.point)
    lowest, vertex = first_least(keep(dot(levers, axis.direction)))
    facing, foot = turn(q, axis.direction), position + turn(q, axis.point)
    start, end = dot(edge.start - foot, facing), dot(edge.end - foot, facing)
    gap = jnp.where(axis.of_body, jnp.minimum(start, end), lowest)
    return gap, jnp.where(axis.of_body, (end < start).astype(vertex.dtype), vertex)


def _gap(
    axis: Axis, number: jax.Array, body: Pose, shape: Shape, edge: Edge
) -> jax.Array:
    """The gap along an axis at the point of a given number."""
    position, q = origin(body, shape)
    vertex = position + turn(q, nth(shape.vertices, number))
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


class _Way(struct.PyTreeNode):
    """A body that moves evenly between two poses, and an edge before it."""

    start: Body
    end: Body
    shape: Shape
    edge: Edge

    def at(self, t: jax.Array) -> Pose:
        """Where the body is at a fraction t of its way."""
        return keep(at(self.start, self.end, t))


def time_of_impact(
    start: Body, end: Body, shape: Shape, edge: Edge, wanted: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """When bodies come within 5 mm of edges.

    Args:
        start: the bodies' poses at t = 0, `[…]`.
        end: their poses at t = 1; centre and angle move evenly between the two.
        shape: the shapes of the bodies, with their vertices as first axis.
        edge: the edges of the ground, `[…]`; several of a body have an axis in front.
        wanted: whether to search at all, for each edge.

    Returns:
        The fraction t, and whether there is an impact at all.
    """
    way = _Way(start, end, shape, edge)

    def axis_round(search: _Search) -> _Search:
        body = way.at(search.t)
        distance, overlap, axis = separation(body, shape, edge)
        touching = ~overlap & (distance < UPPER)
        stop = overlap | touching
        tried = _pushed_back(way, axis, search.replace(done=stop | search.done))
        ended = search.replace(done=jnp.ones_like(stop), touching=touching)
        search = where(stop, ended, tried)
        return search.replace(rounds=search.rounds + 1)

    def unfinished(search: _Search) -> jax.Array:
        return ~search.done & (search.rounds < c.MAX_AXES)

    zero = jnp.zeros(wanted.shape, start.angle.dtype)
    begin = _Search(zero, ~wanted, jnp.zeros_like(wanted), zero.astype(jnp.int32))
    search = repeated(unfinished, axis_round, begin)
    return search.t, search.touching & wanted


def _pushed_back(way: _Way, axis: Axis, search: _Search) -> _Search:
    """Go back from the end until the deepest point just touches."""

    def step(carry: Any) -> Any:
        search, t2, _, rounds = carry
        s2, number = _deepest(axis, way.at(t2), way.shape, way.edge)
        apart = s2 > UPPER
        reached = ~apart & (s2 > LOWER)
        s1 = _gap(axis, number, way.at(search.t), way.shape, way.edge)
        open_ = ~apart & ~reached
        failed = open_ & (s1 < LOWER)
        touching = open_ & ~failed & (s1 <= UPPER)
        go = open_ & ~failed & ~touching
        earlier = _root(way, axis, number, (search.t, t2, s1, s2), go)
        search = search.replace(
            t=jnp.where(reached, t2, search.t),
            done=apart | failed | touching,
            touching=touching,
        )
        return search, jnp.where(go, earlier, t2), ~go, rounds + 1

    def going(carry: Any) -> jax.Array:
        return ~carry[2] & (carry[3] < c.MAX_DEEPEST_POINTS)

    begin = search, jnp.ones_like(search.t), search.done, jnp.zeros_like(search.rounds)
    return repeated(going, step, begin)[0]


def _root(way: _Way, axis: Axis, number: jax.Array, bounds: Any, go: Any) -> jax.Array:
    """A time at which the gap is the wanted one: bisection and secants in turn.

    Args:
        way: the way of the body through the step, and the edge before it.
        axis: the axis along which the gap is measured.
        number: the number of the body's vertex or the edge's end that is looked at.
        bounds: a time with too wide and one with too small a gap, and both gaps.
        go: whether a time is to be searched at all.
    """
    t1, t2, s1, s2 = bounds

    def step(carry: Any) -> Any:
        a1, a2, s1, s2, _, tries = carry
        secant = a1 + (c.IMPACT_TARGET - s1) * (a2 - a1) / (s2 - s1)
        t = keep(jnp.where(tries % 2 == 1, secant, 0.5 * (a1 + a2)))
        s = keep(_gap(axis, number, way.at(t), way.shape, way.edge))
        hit = jnp.abs(s - c.IMPACT_TARGET) < c.IMPACT_TOLERANCE
        above = s > c.IMPACT_TARGET
        a1, s1 = where(above & ~hit, (t, s), (a1, s1))
        a2, s2 = where(above, (a2, s2), (t, s))
        a2 = jnp.where(hit, t, a2)
        return a1, a2, s1, s2, hit, tries + 1

    def searching(carry: Any) -> jax.Array:
        return ~carry[4] & (carry[5] < c.MAX_ROOT_ITERATIONS) & go

    begin = (t1, t2, s1, s2, jnp.zeros_like(go), jnp.zeros(go.shape, jnp.int32))
    found = repeated(searching, step, begin)
    return jnp.where(found[4], found[1], t2)
