"""The revolute joints between hull and legs, with their motors and limits.

A joint holds the hull's origin and the leg's anchor together, its motor turns the leg
outward like a spring, its limits stop it (`b2RevoluteJoint.cpp`). A is the hull, B the
leg.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body, Pose, Shape
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.vectors import (
    Scalar,
    Vector,
    cross,
    fixed,
    length,
    rotation,
    row,
    stacked,
    swept,
    turn,
    where,
)

ORDER = (1, 0)  # of the legs' joints: Box2D solves the newest one first


class Joint(struct.PyTreeNode):
    """What a joint remembers from step to step.

    Attributes:
        impulse: the impulse that held the anchors together, N s.
        limit: angular impulse of the limit, N m s.
        motor: angular impulse of the motor, N m s.
        side: −1 at the lower limit, 1 at the upper one, 0 between them.
    """

    impulse: Vector
    limit: Any
    motor: Any
    side: Any


class JointSetting(struct.PyTreeNode):
    """What never changes of a joint: angles in rad, speed in rad/s, anchors in m."""

    reference: Any
    lower: Any
    upper: Any
    motor_speed: Any
    anchor_a: Vector
    anchor_b: Vector


class JointRow(struct.PyTreeNode):
    """What stays the same during the velocity iterations of a step.

    Attributes:
        lever_a: the way from the hull's centre to the joint, m.
        lever_b: the way from the leg's centre to the joint, m.
        inverse: the elements 11, 12, 13, 22, 23 and 33 of the inverse of K, where K
            gives both velocities' and the spin's answer to impulses.
        coupling: the elements 13 and 23 of K.
        point_inverse: the elements 11, 12 and 22 of the inverse of K's part for the
            velocities alone.
        motor_mass: the moment of inertia that the motor turns, kg m².
        motor_speed: the spin that the motor aims at, rad/s.
        max_motor: the greatest angular impulse of the motor in a step, N m s.
    """

    lever_a: Vector
    lever_b: Vector
    inverse: tuple[Any, ...]
    coupling: Vector
    point_inverse: tuple[Any, ...]
    motor_mass: Any
    motor_speed: Any
    max_motor: Any


def settings(dtype: Any) -> JointSetting:
    """The joints of both legs, as rows."""

    def rows(values: Any) -> np.ndarray:
        return np.asarray(values, dtype)

    hull_x, hull_y = c.HULL_CENTRE
    return JointSetting(
        reference=rows(c.REFERENCE_ANGLES),
        lower=rows(c.LOWER_ANGLES),
        upper=rows(c.UPPER_ANGLES),
        motor_speed=rows(c.MOTOR_SPEEDS),
        anchor_a=fixed(rows([-hull_x, -hull_x]), rows([-hull_y, -hull_y])),
        anchor_b=fixed(
            rows([anchor[0] for anchor in c.LEG_ANCHORS]),
            rows([anchor[1] for anchor in c.LEG_ANCHORS]),
        ),
    )


def relaxed(dtype: Any) -> Joint:
    """Both joints before they ever held anything."""
    zeros = jnp.zeros(2, dtype)
    return Joint(Vector(zeros, zeros), zeros, zeros, jnp.zeros(2, jnp.int32))


def _point_matrix(
    lever_a: Vector, lever_b: Vector, a: Shape, b: Shape
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Elements 11, 12, 22 of the inverse effective mass of the anchors' distance."""
    i_a, i_b = a.inverse_inertia, b.inverse_inertia
    mass = a.inverse_mass + b.inverse_mass
    return (
        mass + lever_a.y**2 * i_a + lever_b.y**2 * i_b,
        -lever_a.y * lever_a.x * i_a - lever_b.y * lever_b.x * i_b,
        mass + lever_a.x**2 * i_a + lever_b.x**2 * i_b,
    )


def _point_inverse(k11: Any, k12: Any, k22: Any) -> tuple[Any, Any, Any]:
    scale = 1 / (k11 * k22 - k12 * k12)
    return scale * k22, -scale * k12, scale * k11


def prepared(
    joint: Joint,
    setting: JointSetting,
    hull: Body,
    leg: Body,
    a: Shape,
    b: Shape,
    max_motor: Scalar,
) -> tuple[Joint, JointRow]:
    """Find the limit's state at the present angle, and what the iterations need."""
    lever_a = turn(rotation(hull.angle), setting.anchor_a)
    lever_b = turn(rotation(leg.angle), setting.anchor_b)
    lever_a, lever_b = keep((lever_a, lever_b))
    i_a, i_b = a.inverse_inertia, b.inverse_inertia
    k11, k12, k22 = _point_matrix(lever_a, lever_b, a, b)
    k13 = -lever_a.y * i_a - lever_b.y * i_b
    k23 = lever_a.x * i_a + lever_b.x * i_b
    k33 = i_a + i_b
    adjugate = (
        k22 * k33 - k23 * k23,
        k13 * k23 - k12 * k33,
        k12 * k23 - k13 * k22,
        k11 * k33 - k13 * k13,
        k13 * k12 - k11 * k23,
        k11 * k22 - k12 * k12,
    )
    scale = 1 / (k11 * adjugate[0] + k12 * adjugate[1] + k13 * adjugate[2])

    angle = leg.angle - hull.angle - setting.reference
    side = (angle >= setting.upper).astype(jnp.int32)
    side = jnp.where(angle <= setting.lower, -1, side)
    kept = (side == joint.side) & (side != 0)
    joint = joint.replace(side=side, limit=jnp.where(kept, joint.limit, 0))
    return joint, JointRow(
        lever_a=lever_a,
        lever_b=lever_b,
        inverse=tuple(scale * element for element in adjugate),
        coupling=Vector(k13, k23),
        point_inverse=_point_inverse(k11, k12, k22),
        motor_mass=1 / k33,
        motor_speed=setting.motor_speed,
        max_motor=max_motor,
    )


def applied(
    hull: Body, leg: Body, row: JointRow, a: Shape, b: Shape, push: Vector, twist: Any
) -> tuple[Body, Body]:
    """Hull and leg after an impulse and an angular impulse of their joint."""
    hull = hull.replace(
        velocity=hull.velocity - push * a.inverse_mass,
        spin=hull.spin - a.inverse_inertia * (cross(row.lever_a, push) + twist),
    )
    leg = leg.replace(
        velocity=leg.velocity + push * b.inverse_mass,
        spin=leg.spin + b.inverse_inertia * (cross(row.lever_b, push) + twist),
    )
    return hull, leg


def velocity_solved(
    joint: Joint, row: JointRow, hull: Body, leg: Body, a: Shape, b: Shape
) -> tuple[Joint, Body, Body]:
    """One velocity iteration: the motor, then limit and anchors together."""
    wanted = joint.motor - row.motor_mass * (leg.spin - hull.spin - row.motor_speed)
    motor = keep(jnp.clip(wanted, -row.max_motor, row.max_motor))
    twist = motor - joint.motor
    spin_a = hull.spin - a.inverse_inertia * twist
    spin_b = leg.spin + b.inverse_inertia * twist

    drift = (
        leg.velocity
        + swept(spin_b, row.lever_b)
        - hull.velocity
        - swept(spin_a, row.lever_a)
    )
    spin_a, spin_b, drift = keep((spin_a, spin_b, drift))
    x, y, z = drift.x, drift.y, spin_b - spin_a
    m11, m12, m13, m22, m23, m33 = row.inverse
    limit = joint.limit - (m13 * x + m23 * y + m33 * z)
    holds = ((joint.side < 0) & (limit >= 0)) | ((joint.side > 0) & (limit <= 0))
    limit = jnp.where(holds, limit, 0)
    # A limit that lets go leaves the anchors to the smaller matrix.
    rest = Vector(joint.limit * row.coupling.x - x, joint.limit * row.coupling.y - y)
    n11, n12, n22 = row.point_inverse
    push = where(
        holds,
        Vector(-(m11 * x + m12 * y + m13 * z), -(m12 * x + m22 * y + m23 * z)),
        Vector(n11 * rest.x + n12 * rest.y, n12 * rest.x + n22 * rest.y),
    )
    limit, push = keep((limit, push))
    hull, leg = applied(
        hull.replace(spin=spin_a),
        leg.replace(spin=spin_b),
        row,
        a,
        b,
        push,
        limit - joint.limit,
    )
    solved = joint.replace(impulse=joint.impulse + push, limit=limit, motor=motor)
    return keep((solved, hull, leg))


def placed(side: jax.Array, hull: Pose, legs: Pose) -> tuple[Pose, Pose, jax.Array]:
    """One position iteration of both joints, and whether both were well, `[L]`.

    Args:
        side: at which limit each joint stands, see `Joint`, `[2, L]`.
        hull: the pose of the hull, `[L]`.
        legs: the poses of the legs, `[2, L]`.
    """
    well, poses = [], [row(legs, k) for k in range(2)]
    for k in ORDER:
        hull, poses[k], fits = _one_placed(k, side[k], hull, poses[k])
        well.append(fits)
    return hull, stacked(*poses), well[0] & well[1]


def _one_placed(
    k: int, side: jax.Array, hull: Pose, leg: Pose
) -> tuple[Pose, Pose, jax.Array]:
    """One position iteration of the joint of leg k: its limit before its anchors."""
    mass_a, mass_b = c.INVERSE_MASSES[c.HULL], c.INVERSE_MASSES[1 + k]
    i_a, i_b = c.INVERSE_INERTIAS[c.HULL], c.INVERSE_INERTIAS[1 + k]
    angle = leg.angle - hull.angle - c.REFERENCE_ANGLES[k]
    at_lower, at_upper = side < 0, side > 0
    error = angle - jnp.where(at_lower, c.LOWER_ANGLES[k], c.UPPER_ANGLES[k])
    lowest = jnp.where(at_lower, -c.MAX_ANGULAR_CORRECTION, 0)
    highest = jnp.where(at_upper, c.MAX_ANGULAR_CORRECTION, 0)
    slop = jnp.where(at_lower, -c.ANGULAR_SLOP, c.ANGULAR_SLOP)
    twist = jnp.clip(error - slop, lowest, highest) * (1 / (i_a + i_b))
    angle_a, angle_b = keep((hull.angle + i_a * twist, leg.angle - i_b * twist))

    hull_x, hull_y = c.HULL_CENTRE
    lever_a = keep(turn(rotation(angle_a), fixed(-hull_x, -hull_y)))
    lever_b = keep(turn(rotation(angle_b), fixed(*c.LEG_ANCHORS[k])))
    apart = keep(leg.centre + lever_b - hull.centre - lever_a)
    k11, k12, k22 = (
        mass_a + mass_b + lever_a.y * lever_a.y * i_a + lever_b.y * lever_b.y * i_b,
        -(lever_a.y * lever_a.x * i_a) - lever_b.y * lever_b.x * i_b,
        mass_a + mass_b + lever_a.x * lever_a.x * i_a + lever_b.x * lever_b.x * i_b,
    )
    scale = -1 / (k11 * k22 - k12 * k12)
    push = Vector(k22 * apart.x - k12 * apart.y, k11 * apart.y - k12 * apart.x) * scale
    push = keep(push)
    hull = Pose(hull.centre - push * mass_a, angle_a - i_a * cross(lever_a, push))
    leg = Pose(leg.centre + push * mass_b, angle_b + i_b * cross(lever_b, push))
    angular_error = jnp.where(at_lower, -error, jnp.where(at_upper, error, 0))
    well = (length(apart) <= c.LINEAR_SLOP) & (angular_error <= c.ANGULAR_SLOP)
    hull, leg = keep((hull, leg))
    return hull, leg, well
