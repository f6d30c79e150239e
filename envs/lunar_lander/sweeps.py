"""The fast solver's step of velocities: warm start, sweeps, and what they leave."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander import reduced
from dmaml_jax.envs.lunar_lander.bodies import Body, Shape
from dmaml_jax.envs.lunar_lander.joints import Joint, settings
from dmaml_jax.envs.lunar_lander.numerics import materialise
from dmaml_jax.envs.lunar_lander.reduced import Foot, Leg, Motion
from dmaml_jax.envs.lunar_lander.solver import LEGS
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
        shape: of each body, `[3]`.
    """

    start: Body
    joints: Joint
    feet: tuple[tuple[Foot, Foot], tuple[Foot, Foot]]
    max_motor: Any
    shape: Shape


def velocities(given: Given, *, on_ground: bool) -> Any:
    """Bodies, joints and feet after the sweeps."""
    one = given.shape.one if given.shape.one is None else given.shape.one[0]
    setting = settings(given.start.angle.dtype)
    start = [row(given.start, i) for i in range(3)]
    turns = [materialise(rotation(each.angle), one) for each in start]
    ways = [turn(turns[c.HULL], Vector(*c.HULL_CENTRE))]
    for leg in (c.FIRST_LEG, c.SECOND_LEG):
        ways.append(-turn(turns[leg], Vector(*c.LEG_ANCHORS[leg - 1])))
    ways = materialise((ways[0], ways[1], ways[2]), one)
    m = reduced.masses(ways, one)

    body, legs = list(start), {}
    for number in LEGS:
        joint = _limited(row(given.joints, number - 1), setting, start, number)
        feet = given.feet[number - 1]
        spin_0, spin = c.INVERSE_INERTIAS[c.HULL], c.INVERSE_INERTIAS[number]
        hull, leg = body[c.HULL], body[number]
        twist = joint.motor + joint.limit
        hull = hull.replace(
            velocity=hull.velocity - joint.impulse * c.INVERSE_MASSES[c.HULL],
            spin=hull.spin - spin_0 * (twist - cross(ways[c.HULL], joint.impulse)),
        )
        push = joint.impulse
        twist = twist - cross(ways[number], joint.impulse)
        if on_ground:
            for foot in feet:
                force = foot.up * foot.normal + right_of(foot.up) * foot.tangent
                push = push + force
                twist = twist + cross(foot.point - start[number].centre, force)
        leg = leg.replace(
            velocity=leg.velocity + push * c.INVERSE_MASSES[number],
            spin=leg.spin + spin * twist,
        )
        body[c.HULL], body[number] = materialise((hull, leg), one)
        legs[number] = joint
    max_motor = given.max_motor
    for number in LEGS:
        # Before the joints are together the motor works on the bodies as they are.
        joint, hull, leg = legs[number], body[c.HULL], body[number]
        speed = setting.motor_speed[number - 1]
        wanted = joint.motor - reduced.MOTOR_MASS * (leg.spin - hull.spin - speed)
        motor = jnp.clip(wanted, -max_motor, max_motor)
        change = materialise(motor - joint.motor, one)
        legs[number] = joint.replace(motor=motor)
        body[c.HULL] = hull.replace(
            spin=hull.spin - c.INVERSE_INERTIAS[c.HULL] * change
        )
        body[number] = leg.replace(spin=leg.spin + c.INVERSE_INERTIAS[number] * change)
    state = materialise(reduced.projected(m, body), one)

    swept = {}
    for number in LEGS:
        joint, feet = legs[number], given.feet[number - 1]
        joint_row = reduced.joint_row(m, number, one)
        normals, tangents = [], []
        if on_ground:
            for foot in feet:
                from_centre = foot.point - start[number].centre
                from_joint = from_centre + ways[number]
                for rows, direction in (
                    (normals, foot.up),
                    (tangents, right_of(foot.up)),
                ):
                    rows.append(
                        reduced.foot_row(
                            m,
                            foot,
                            direction,
                            joint_row,
                            number,
                            from_joint,
                            from_centre,
                            one,
                        )
                    )
        swept[number] = Leg(
            joint=joint_row,
            motor=materialise(joint.motor, one),
            limit=materialise(joint.limit, one),
            side=joint.side,
            motor_speed=setting.motor_speed[number - 1],
            max_motor=max_motor,
            feet=feet,
            normals=tuple(normals),
            tangents=tuple(tangents),
        )

    def sweep(_: Any, carry: Any) -> Any:
        state, swept = carry
        swept = dict(swept)
        for number in LEGS:
            state, swept[number] = reduced.joint_swept(
                state, swept[number], number, one
            )
        if on_ground:
            for number in LEGS:
                state, swept[number] = reduced.feet_swept(
                    state, swept[number], number, one
                )
        return state, swept

    state, swept = jax.lax.fori_loop(0, reduced.SWEEPS, sweep, (state, swept))
    return _unreduced(state, swept, ways, start, legs)


def _unreduced(
    state: Motion, legs: dict[int, Leg], ways: Any, start: list[Body], sides: Any
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
