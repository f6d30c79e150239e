"""Continuous collision of the fast solver: a leg is stopped at its lowest corner."""

from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape, moved, shapes
from dmaml_jax.envs.lunar_lander.fast.contacts import (
    SIDES,
    Ground,
    corner,
    ground_below,
    leg_rotation,
    leg_touches,
    under,
)
from dmaml_jax.envs.lunar_lander.numerics import materialise
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    cross,
    dot,
    right_of,
    row,
    stacked,
    where,
)

IMPACT_ITERATIONS = 20  # each leaves at most 0.36 of one corner's error


def _corner_heights(leg: Body, ground: Ground, one: Any) -> list[jax.Array]:
    q = leg_rotation(leg, one)
    heights = []
    for side in SIDES:
        place = materialise(corner(leg, q, side), one)
        base, up = under(ground, place)
        heights.append(dot(place - base, up))
    return heights


def impact_time(start: Body, end: Body, ground: Ground, one: Any) -> jax.Array:
    """The fraction of the step at which a foot must be stopped; 1 for none."""
    before = jnp.minimum(*_corner_heights(start, ground, one))
    after = jnp.minimum(*_corner_heights(end, ground, one))
    near = c.IMPACT_TARGET + c.IMPACT_TOLERANCE
    at_once = (before > 0) & (before < near)
    later = (before >= near) & (after < c.IMPACT_TARGET - c.IMPACT_TOLERANCE)
    fall = jnp.where(later, before - after, 1)
    time = jnp.where(later, (before - c.IMPACT_TARGET) / fall, 1)
    return jnp.where(at_once, 0, time)


def stopped(
    impacts: jax.Array,
    start: Body,
    end: Body,
    touching: jax.Array,
    flags: jax.Array,
    terrain: jax.Array,
    one: Any,
) -> tuple[Body, jax.Array, jax.Array]:
    """Bodies, touched edges and flags after the feet were stopped at their impacts."""
    shape = shapes(end.angle.dtype, one)
    bodies, touches, flag = [row(end, c.HULL)], [], [flags[c.HULL]]
    for leg in (c.FIRST_LEG, c.SECOND_LEG):
        time, own = impacts[leg - 1], row(shape, leg)
        before, after = row(start, leg), row(end, leg)
        there = after.replace(
            centre=before.centre + (after.centre - before.centre) * time,
            angle=before.angle + (after.angle - before.angle) * time,
        )
        ground = ground_below(terrain, before, own.one)
        q = leg_rotation(there, own.one)
        now = jnp.stack([leg_touches(there, q, ground, i) for i in range(2)])
        halted = moved(_landed(there, ground, own), (1 - time) * c.TIME_STEP)
        hit = time < 1
        bodies.append(where(hit, halted, after))
        was = touching[leg - 1]
        flag.append(flags[leg] | (hit & jnp.any(now & ~was)))
        touches.append(was | (hit & now))
    return stacked(*bodies), jnp.stack(touches), jnp.stack(flag)


def _landed(leg: Body, ground: Ground, shape: Shape) -> Body:
    """A leg at its impact, pushed out and stopped at its lowest corner."""
    heights = _corner_heights(leg, ground, shape.one)
    lower = materialise(jnp.where(heights[1] < heights[0], 1.0, -1.0), shape.one)

    def place(leg: Body) -> Vector:
        return corner(leg, leg_rotation(leg, shape.one), lower)

    base, up = materialise(under(ground, place(leg)), shape.one)
    for _ in range(2):
        point = place(leg)
        gap = dot(point - base, up) - 2 * c.SKIN
        arm = cross(point - leg.centre, up)
        depth = c.IMPACT_BAUMGARTE * (gap + c.LINEAR_SLOP)
        depth = jnp.clip(depth, -c.MAX_LINEAR_CORRECTION, 0)
        mass = shape.inverse_mass + shape.inverse_inertia * arm * arm
        push = materialise(-depth / mass, shape.one)
        leg = leg.replace(
            centre=leg.centre + up * (push * shape.inverse_mass),
            angle=leg.angle + shape.inverse_inertia * arm * push,
        )
    point = place(leg)
    gap = dot(point - base, up)
    lever = point - up * (gap * 0.5) - leg.centre
    along = right_of(up)
    arms = materialise((cross(lever, up), cross(lever, along)), shape.one)
    masses = [
        1 / (shape.inverse_mass + shape.inverse_inertia * arm * arm) for arm in arms
    ]

    def iteration(_: Any, carry: Any) -> Any:
        leg, normal, tangent = carry
        most = shape.friction * normal
        speed = dot(leg.velocity, along) + arms[1] * leg.spin
        change = jnp.clip(tangent - masses[1] * speed, -most, most) - tangent
        leg = _kicked(leg, along, arms[1], change, shape)
        tangent = tangent + change
        speed = dot(leg.velocity, up) + arms[0] * leg.spin
        change = jnp.maximum(normal - masses[0] * speed, 0) - normal
        return _kicked(leg, up, arms[0], change, shape), normal + change, tangent

    nothing = jnp.zeros_like(leg.angle)
    begin = (leg, nothing, nothing)
    return jax.lax.fori_loop(0, IMPACT_ITERATIONS, iteration, begin)[0]


def _kicked(
    leg: Body, direction: Vector, arm: jax.Array, size: jax.Array, shape: Shape
) -> Body:
    return materialise(
        leg.replace(
            velocity=leg.velocity + direction * (size * shape.inverse_mass),
            spin=leg.spin + shape.inverse_inertia * arm * size,
        ),
        shape.one,
    )
