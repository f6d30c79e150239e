"""Continuous collision of the fast solver: a leg is stopped at its lowest corner."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, Pose, moved
from dmaml_jax.envs.lunar_lander.fast.contacts import SIDES, corner, legs_touch
from dmaml_jax.envs.lunar_lander.fast.position import pushed_out
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.terrain import Ground
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    cross,
    dot,
    right_of,
    rotation,
    where,
)

IMPACT_ITERATIONS = 20  # each leaves at most 0.36 of one corner's error
FRICTION = c.FRICTIONS[c.FIRST_LEG]
INVERSE_MASS = c.INVERSE_MASSES[c.FIRST_LEG]
INVERSE_INERTIA = c.INVERSE_INERTIAS[c.FIRST_LEG]


class Legs(struct.PyTreeNode):
    """Both legs at the end of a step.

    Attributes:
        body: where they are and how they move, `[2, L]`.
        touching: whether the left and the right edge touches each, `[2, 2, L]`.
        hit: whether each has begun to touch an edge on its way, `[2, L]`.
    """

    body: Body
    touching: jax.Array
    hit: jax.Array


def corner_heights(
    centre: Vector, q: Vector, ground: Ground
) -> tuple[jax.Array, Vector]:
    """How high the bottom corners are over the edges below them, and the normals there.

    Args:
        centre: where the legs' centres are, m, `[2, L]`.
        q: the rotations of the legs, `[2, L]`.
        ground: the two edges below each leg.

    Returns:
        Heights in m and normals of the edges, both by corner and leg, `[2, 2, L]`.
    """
    places = keep(corner(centre, q, SIDES))
    base = ground.vertices[1]
    up = where(places.x < base.x, ground.ups[0], ground.ups[1])
    return keep(dot(places - base, up)), up


def impact_time(before: jax.Array, after: jax.Array) -> jax.Array:
    """The fraction of the step at which a foot must be stopped; 1 for none.

    Args:
        before: the height of the lowest corner at the beginning of the step, m.
        after: its height at the end of the step, m.
    """
    near = c.IMPACT_TARGET + c.IMPACT_TOLERANCE
    at_once = (before > 0) & (before < near)
    later = (before >= near) & (after < c.IMPACT_TARGET - c.IMPACT_TOLERANCE)
    fall = jnp.where(later, before - after, 1)
    time = jnp.where(later, (before - c.IMPACT_TARGET) / fall, 1)
    return jnp.where(at_once, 0, time)


def stopped(time: jax.Array, start: Pose, end: Legs, ground: Ground) -> Legs:
    """Both legs after their impacts.

    Args:
        time: fractions of the step at which they are stopped, `[2, L]`.
        start: poses at the beginning of the step, `[2, L]`.
        end: the legs at its end, if nothing stops them.
        ground: the two edges below each leg at the beginning.
    """
    after = end.body
    there = keep(
        after.replace(
            centre=start.centre + (after.centre - start.centre) * time,
            angle=start.angle + (after.angle - start.angle) * time,
        )
    )
    q = keep(rotation(there.angle))
    hit = time < 1
    now = legs_touch(there.centre, q, ground) & hit
    halted = moved(_landed(there, q, ground), (1 - time) * c.TIME_STEP)
    return Legs(
        where(hit, halted, after),
        end.touching | now,
        end.hit | jnp.any(now & ~end.touching, axis=0),
    )


def _landed(leg: Body, q: Vector, ground: Ground) -> Body:
    """Legs at their impacts, pushed out and stopped at their lowest corners."""
    heights, ups = corner_heights(leg.centre, q, ground)
    second = heights[1] < heights[0]
    up = keep(where(second, ups[1], ups[0]))
    base, side = ground.vertices[1], jnp.where(second, 1, -1).astype(up.x.dtype)
    pose = Pose(leg.centre, leg.angle)
    for _ in range(2):
        pose, _ = pushed_out(pose, side, base, up, c.IMPACT_BAUMGARTE)
    point = corner(pose.centre, rotation(pose.angle), side)
    gap = dot(point - base, up)
    lever = keep(point - up * (gap * 0.5) - pose.centre)
    along = right_of(up)
    arms = keep((cross(lever, up), cross(lever, along)))
    masses = [1 / (INVERSE_MASS + INVERSE_INERTIA * arm * arm) for arm in arms]

    def iteration(_: int, carry: Any) -> Any:
        leg, normal, tangent = carry
        most = FRICTION * normal
        speed = dot(leg.velocity, along) + arms[1] * leg.spin
        new = keep(jnp.clip(tangent - masses[1] * speed, -most, most))
        leg, tangent = _kicked(leg, along, arms[1], new - tangent), new
        speed = dot(leg.velocity, up) + arms[0] * leg.spin
        new = keep(jnp.maximum(normal - masses[0] * speed, 0))
        return _kicked(leg, up, arms[0], new - normal), new, tangent

    nothing = jnp.zeros_like(leg.angle)
    begin = (leg.replace(centre=pose.centre, angle=pose.angle), nothing, nothing)
    return jax.lax.fori_loop(0, IMPACT_ITERATIONS, iteration, begin)[0]


def _kicked(leg: Body, direction: Vector, arm: jax.Array, size: jax.Array) -> Body:
    velocity = leg.velocity + direction * (size * INVERSE_MASS)
    spin = leg.spin + INVERSE_INERTIA * arm * size
    velocity, spin = keep((velocity, spin))
    return leg.replace(velocity=velocity, spin=spin)
