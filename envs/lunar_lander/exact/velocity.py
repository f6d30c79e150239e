"""The velocities of contacts: friction, then the normal impulses of one or two points.

The ground does not move, so a contact changes its own body only, and the contacts of
different bodies can be solved in any order (`b2ContactSolver.cpp`).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape
from dmaml_jax.envs.lunar_lander.exact.contacts import Contact, Manifold, world_plane
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    cross,
    dot,
    right_of,
    turn,
    where,
)


class Impulses(struct.PyTreeNode):
    """The impulses of a contact's two points, N s."""

    normals: tuple[Any, Any]
    tangents: tuple[Any, Any]


class ContactRow(struct.PyTreeNode):
    """What stays the same of a contact during the velocity iterations.

    Attributes:
        normal: the direction from the ground to the body.
        normal_arms: r × n of both points, m.
        tangent_arms: r × t of both points, m.
        normal_masses: the mass that an impulse at each point moves along the normal,
            kg; 0 for a point that is not there.
        tangent_masses: the mass that an impulse at each point moves along the ground,
            kg; 0 for a point that is not there.
        matrix: the elements 11, 12 and 22 of K, which gives both normal velocities'
            answer to normal impulses, 1/kg.
        inverse: the elements 11, 12 and 22 of the inverse of K, kg.
        block: whether both points are solved together.
    """

    normal: Vector
    normal_arms: tuple[Any, Any]
    tangent_arms: tuple[Any, Any]
    normal_masses: tuple[Any, Any]
    tangent_masses: tuple[Any, Any]
    matrix: tuple[Any, Any, Any]
    inverse: tuple[Any, Any, Any]
    block: Any


def prepared(found: Manifold, body: Body, shape: Shape) -> ContactRow:
    """What the iterations need of a contact in the body's present pose."""
    position, q, facing, plane = keep(world_plane(found, body, shape))
    normal = where(found.body_face, -facing, facing)
    tangent = right_of(normal)
    mass, inertia = shape.inverse_mass, shape.inverse_inertia

    def lever(point: Vector) -> Vector:
        clip = where(found.body_face, point, position + turn(q, point))
        gap = dot(clip - plane, facing)
        surfaces = clip + facing * (c.SKIN - gap), clip - facing * c.SKIN
        return (surfaces[0] + surfaces[1]) * 0.5 - body.centre

    levers = keep((lever(found.points[0]), lever(found.points[1])))
    arms = keep((cross(levers[0], normal), cross(levers[1], normal)))
    tangent_arms = cross(levers[0], tangent), cross(levers[1], tangent)
    k11 = mass + inertia * arms[0] * arms[0]
    k12 = mass + inertia * arms[0] * arms[1]
    k22 = mass + inertia * arms[1] * arms[1]
    determinant = keep(k11 * k22 - k12 * k12)
    # Of two points that say nearly the same only the first one is solved.
    block = (found.count == 2) & (k11 * k11 < c.MAX_CONDITION * determinant)
    scale = 1 / jnp.where(block, determinant, 1)
    there = found.count > 0, block

    def masses(arms: tuple[Any, Any]) -> tuple[Any, Any]:
        first, second = (
            jnp.where(present, 1 / (mass + inertia * arm * arm), 0)
            for present, arm in zip(there, arms, strict=True)
        )
        return first, second

    return ContactRow(
        normal=normal,
        normal_arms=arms,
        tangent_arms=tangent_arms,
        normal_masses=masses(arms),
        tangent_masses=masses(tangent_arms),
        matrix=(k11, k12, k22),
        inverse=(scale * k22, -scale * k12, scale * k11),
        block=block,
    )


def remembered(contact: Contact, row: ContactRow) -> Impulses:
    """The impulses to start from."""
    first, second = contact.points
    return Impulses(
        normals=(first.normal, jnp.where(row.block, second.normal, 0)),
        tangents=(first.tangent, jnp.where(row.block, second.tangent, 0)),
    )


def stored(contact: Contact, row: ContactRow, impulses: Impulses) -> Contact:
    """The contact with its solved impulses; a point left unsolved keeps its own."""
    first, second = contact.points
    solved = second.replace(normal=impulses.normals[1], tangent=impulses.tangents[1])
    return contact.replace(
        points=(
            first.replace(normal=impulses.normals[0], tangent=impulses.tangents[0]),
            where(row.block, solved, second),
        )
    )


def pushed(body: Body, row: ContactRow, impulses: Impulses, shape: Shape) -> Body:
    """The body after impulses at its points of contact."""
    normals, tangents = impulses.normals, impulses.tangents
    push = row.normal * (normals[0] + normals[1])
    push = push + right_of(row.normal) * (tangents[0] + tangents[1])
    twist = (
        row.normal_arms[0] * normals[0]
        + row.normal_arms[1] * normals[1]
        + row.tangent_arms[0] * tangents[0]
        + row.tangent_arms[1] * tangents[1]
    )
    return body.replace(
        velocity=body.velocity + push * shape.inverse_mass,
        spin=body.spin + shape.inverse_inertia * twist,
    )


def velocity_solved(
    impulses: Impulses, row: ContactRow, body: Body, shape: Shape
) -> tuple[Impulses, Body]:
    """One velocity iteration of a contact."""
    mass, inertia = shape.inverse_mass, shape.inverse_inertia
    tangent = right_of(row.normal)
    along, spin = dot(body.velocity, tangent), body.spin
    tangents = []
    for i in range(2):
        old, limit = impulses.tangents[i], shape.friction * impulses.normals[i]
        speed = along + spin * row.tangent_arms[i]
        new = jnp.clip(old - row.tangent_masses[i] * speed, -limit, limit)
        new = keep(new)
        along = along + mass * (new - old)
        spin = spin + inertia * row.tangent_arms[i] * (new - old)
        tangents.append(new)

    away = dot(body.velocity, row.normal)
    spin, *speeds = keep([spin, *(away + spin * arm for arm in row.normal_arms)])
    normals = _normals(impulses.normals, row, speeds)
    change = [normals[i] - impulses.normals[i] for i in range(2)]
    push = row.normal * (change[0] + change[1]) + tangent * (
        (tangents[0] - impulses.tangents[0]) + (tangents[1] - impulses.tangents[1])
    )
    spin = spin + inertia * (
        row.normal_arms[0] * change[0] + row.normal_arms[1] * change[1]
    )
    body = body.replace(velocity=body.velocity + push * mass, spin=spin)
    return Impulses(normals, (tangents[0], tangents[1])), keep(body)


def _normals(
    old: tuple[Any, Any], row: ContactRow, speeds: list[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The normal impulses x ≥ 0 that leave speeds K x + b' ≥ 0, one of the two 0.

    The four cases are tried in Box2D's order; where none fits, nothing changes.
    """
    alone = jnp.maximum(old[0] - row.normal_masses[0] * speeds[0], 0)
    k11, k12, k22 = row.matrix
    h11, h12, h22 = row.inverse
    b1 = speeds[0] - (k11 * old[0] + k12 * old[1])
    b2 = speeds[1] - (k12 * old[0] + k22 * old[1])
    b1, b2 = keep((b1, b2))
    both = -(h11 * b1 + h12 * b2), -(h12 * b1 + h22 * b2)
    first, second = -row.normal_masses[0] * b1, -row.normal_masses[1] * b2
    both_fit = (both[0] >= 0) & (both[1] >= 0)
    first_fits = (first >= 0) & (k12 * first + b2 >= 0)
    second_fits = (second >= 0) & (k12 * second + b1 >= 0)
    none_fits = (b1 >= 0) & (b2 >= 0)
    zero = jnp.zeros_like(b1)
    chosen = where(none_fits, (zero, zero), old)
    chosen = where(second_fits, (zero, second), chosen)
    chosen = where(first_fits, (first, zero), chosen)
    chosen = where(both_fit, both, chosen)
    return keep(where(row.block, chosen, (alone, zero)))
