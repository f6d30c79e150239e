"""The fast solver's step of velocities: warm start, sweeps, and what they leave."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body
from dmaml_jax.envs.lunar_lander.exact.solver import LEGS
from dmaml_jax.envs.lunar_lander.fast import reduced
from dmaml_jax.envs.lunar_lander.fast.reduced import Foot, Leg, Motion
from dmaml_jax.envs.lunar_lander.joints import Joint, settings
from dmaml_jax.envs.lunar_lander.numerics import materialise
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    cross,
    right_of,
    rotation,
    row,
    stacked,
    turn,
)


class Given(struct.PyTreeNode):
    """What the sweeps are given.

    Attributes:
        start: bodies with gravity and forces in their velocities, `[3]`.
        joints: with last step's impulses, `[2]`.
        feet: of both legs, two corners each.
        max_motor: angular impulse of a leg's motor in a step, N m s.
        one: see `materialise`.
    """

    start: Body
    joints: Joint
    feet: tuple[tuple[Foot, ...], tuple[Foot, ...]]
    max_motor: Any
    one: Any


def velocities(given: Given, *, on_ground: bool) -> Any:
    """Bodies, joints and feet after the sweeps."""
    one = given.one
    sweeps = reduced.GROUND_SWEEPS if on_ground else reduced.FLIGHT_SWEEPS
    iterations = c.VELOCITY_ITERATIONS // sweeps
    start = [row(given.start, i) for i in range(3)]
    ways = _ways(start, one)
    m = reduced.masses(ways, one)
    body, joints = _remembered(given, start, ways, on_ground=on_ground)
    body, joints = _first_motors(given, body, joints)
    state = materialise(reduced.projected(m, body), one)
    swept = {}
    for number in LEGS:
        joint_row = reduced.joint_row(m, number, iterations, one)
        normals, tangents = [], []
        for foot in given.feet[number - 1] if on_ground else ():
            from_centre = foot.point - start[number].centre
            places = number, from_centre + ways[number], from_centre
            for rows, direction in ((normals, foot.up), (tangents, right_of(foot.up))):
                rows.append(
                    reduced.foot_row(
                        m, foot, direction, joint_row, *places, iterations, one
                    )
                )
        swept[number] = Leg(
            joint=joint_row,
            motor=materialise(joints[number].motor, one),
            limit=materialise(joints[number].limit, one),
            side=joints[number].side,
            motor_speed=c.MOTOR_SPEEDS[number - 1],
            max_motor=given.max_motor,
            feet=given.feet[number - 1],
            normals=tuple(normals),
            tangents=tuple(tangents),
        )

    def sweep(_: Any, carry: Any) -> Any:
        state, swept = carry
        swept = dict(swept)
        for number in LEGS:
            state, swept[number] = reduced.joint_swept(
                state, swept[number], number, iterations, one
            )
        if on_ground:
            for number in LEGS:
                state, swept[number] = reduced.feet_swept(
                    state, swept[number], number, one
                )
        return state, swept

    state, swept = jax.lax.fori_loop(0, sweeps, sweep, (state, swept))
    return _unreduced(state, swept, ways, start)


def _ways(start: list[Body], one: Any) -> tuple[Vector, Vector, Vector]:
    """From the joints' common place to each body's centre."""
    turns = [materialise(rotation(each.angle), one) for each in start]
    hull = turn(turns[c.HULL], Vector(*c.HULL_CENTRE))
    first, second = (
        -turn(turns[leg], Vector(*c.LEG_ANCHORS[leg - 1]))
        for leg in (c.FIRST_LEG, c.SECOND_LEG)
    )
    return materialise((hull, first, second), one)


def _remembered(
    given: Given, start: list[Body], ways: Any, *, on_ground: bool
) -> tuple[list[Body], dict[int, Joint]]:
    """Bodies after last step's impulses, each alone, and the joints at their limits."""
    setting = settings(given.start.angle.dtype)
    body, joints = list(start), {}
    for number in LEGS:
        joint = _limited(row(given.joints, number - 1), setting, start, number)
        hull, leg = body[c.HULL], body[number]
        twist = joint.motor + joint.limit
        hull = hull.replace(
            velocity=hull.velocity - joint.impulse * c.INVERSE_MASSES[c.HULL],
            spin=hull.spin
            - c.INVERSE_INERTIAS[c.HULL] * (twist - cross(ways[c.HULL], joint.impulse)),
        )
        push = joint.impulse
        twist = twist - cross(ways[number], joint.impulse)
        for foot in given.feet[number - 1] if on_ground else ():
            force = foot.up * foot.normal + right_of(foot.up) * foot.tangent
            push = push + force
            twist = twist + cross(foot.point - start[number].centre, force)
        leg = leg.replace(
            velocity=leg.velocity + push * c.INVERSE_MASSES[number],
            spin=leg.spin + c.INVERSE_INERTIAS[number] * twist,
        )
        body[c.HULL], body[number] = materialise((hull, leg), given.one)
        joints[number] = joint
    return body, joints


def _first_motors(
    given: Given, body: list[Body], joints: dict[int, Joint]
) -> tuple[list[Body], dict[int, Joint]]:
    """Before the joints are together the motors work on the bodies as they are."""
    body, joints = list(body), dict(joints)
    for number in LEGS:
        joint, hull, leg = joints[number], body[c.HULL], body[number]
        speed = leg.spin - hull.spin - c.MOTOR_SPEEDS[number - 1]
        wanted = joint.motor - reduced.MOTOR_MASS * speed
        motor = jnp.clip(wanted, -given.max_motor, given.max_motor)
        change = materialise(motor - joint.motor, given.one)
        joints[number] = joint.replace(motor=motor)
        body[c.HULL] = hull.replace(
            spin=hull.spin - c.INVERSE_INERTIAS[c.HULL] * change
        )
        body[number] = leg.replace(spin=leg.spin + c.INVERSE_INERTIAS[number] * change)
    return body, joints


def _unreduced(
    state: Motion, legs: dict[int, Leg], ways: Any, start: list[Body]
) -> Any:
    """Bodies with their velocities, joints with the impulses that held them, feet."""
    bodies, joints = [], {}
    for i, before in enumerate(start):
        spin, way = state.spins[i], ways[i]
        velocity = state.velocity + Vector(-way.y * spin, way.x * spin)
        bodies.append(before.replace(velocity=velocity, spin=spin))
    for number, leg in legs.items():
        held = (bodies[number].velocity - start[number].velocity) * (
            1 / c.INVERSE_MASSES[number]
        )
        for foot in leg.feet:
            held = held - foot.up * foot.normal - right_of(foot.up) * foot.tangent
        joints[number] = Joint(held, leg.limit, leg.motor, leg.side)
    return (
        stacked(*bodies),
        stacked(joints[c.FIRST_LEG], joints[c.SECOND_LEG]),
        (legs[c.FIRST_LEG].feet, legs[c.SECOND_LEG].feet),
    )


def _limited(joint: Joint, setting: Any, bodies: list[Body], number: int) -> Joint:
    """The joint with the limit at which it stands; a new limit begins from nothing."""
    angles = row(setting, number - 1)
    angle = bodies[number].angle - bodies[c.HULL].angle - angles.reference
    side = (angle >= angles.upper).astype(jnp.int32)
    side = jnp.where(angle <= angles.lower, -1, side)
    kept = (side == joint.side) & (side != 0)
    return joint.replace(side=side, limit=jnp.where(kept, joint.limit, 0))
