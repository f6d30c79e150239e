"""The positions of contacts: a body that is too deep in the ground is pushed out."""

from typing import Any

import jax
import jax.numpy as jnp

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape
from dmaml_jax.envs.lunar_lander.exact.contacts import Manifold, world_plane
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.vectors import Vector, cross, dot, row, turn, where


def _point_solved(
    body: Body,
    found: Manifold,
    point: Vector,
    present: jax.Array,
    shape: Shape,
    baumgarte: float,
) -> tuple[Body, jax.Array]:
    """Push a body out at one point; also tell how deep it was, as a negative gap."""
    position, q, facing, plane = keep(world_plane(found, body, shape))
    point = where(found.body_face, point, position + turn(q, point))
    point = keep(point)
    gap = dot(point - plane, facing) - 2 * c.SKIN
    normal = where(found.body_face, -facing, facing)
    lever = point - body.centre
    correction = baumgarte * (gap + c.LINEAR_SLOP)
    correction = jnp.clip(correction, -c.MAX_LINEAR_CORRECTION, 0)
    arm = cross(lever, normal)
    inverse_mass = shape.inverse_mass + shape.inverse_inertia * arm * arm
    size = jnp.where(present, -correction / inverse_mass, 0)
    push = normal * keep(size)
    body = body.replace(
        centre=body.centre + push * shape.inverse_mass,
        angle=body.angle + shape.inverse_inertia * cross(lever, push),
    )
    return keep((body, jnp.where(present, jnp.minimum(gap, 0), 0)))


def contact_positions_solved(
    body: Body, found: Manifold, shape: Shape, baumgarte: Any
) -> tuple[Body, jax.Array]:
    """One position iteration of bodies' two contacts each, `[2, …]`, in their order.

    Returns:
        The body, and its deepest gap before it was pushed, at most 0, in m.
    """
    deepest = jnp.zeros_like(body.angle)
    for slot in range(2):
        contact = row(found, slot)
        for i in range(2):
            body, gap = _point_solved(
                body,
                contact,
                contact.points[i],
                i < contact.count,
                shape,
                baumgarte,
            )
            deepest = jnp.minimum(deepest, gap)
    return body, deepest
