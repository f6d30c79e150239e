"""The fast solver's step of velocities: warm start, sweeps, and what they leave."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.fast import reduced
from dmaml_jax.envs.lunar_lander.fast.reduced import FootRows, JointRows, Masses
from dmaml_jax.envs.lunar_lander.fast.standing import Feet
from dmaml_jax.envs.lunar_lander.joints import Joint
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    cross,
    fixed,
    left_of,
    right_of,
    rows,
    turn,
)

# A row alone is solved as well by few sweeps. Those of the feet are coupled, and an
# impact's impulses came out a tenth too small by ten.
FLIGHT_SWEEPS = 10
GROUND_SWEEPS = 30
FRICTION = c.FRICTIONS[c.FIRST_LEG]
ORDER = (1, 0)  # of the legs: Box2D solves the newest constraints first


class Given(struct.PyTreeNode):
    """What the sweeps are given.

    Attributes:
        centre: where the legs' centres are, m, `[2, L]`.
        ways: the ways from the joints' common place to each body's centre, m, `[3, L]`.
        velocity: the bodies' velocities, after gravity and forces, m/s, `[3, L]`.
        spin: the bodies' angular velocities, rad/s, `[3, L]`.
        joints: the joints, with last step's impulses and this step's limits, `[2, L]`.
        feet: where both legs' feet stand, and their impulses.
        max_motor: the greatest angular impulse of a leg's motor, N m s a step, `[L]`.
    """

    centre: Vector
    ways: Vector
    velocity: Vector
    spin: jax.Array
    joints: Joint
    feet: Feet
    max_motor: jax.Array


class Moved(struct.PyTreeNode):
    """What the sweeps leave: velocities, and the impulses that made them.

    Attributes:
        velocity: the bodies' velocities, m/s, `[3, L]`.
        spin: the bodies' angular velocities, rad/s, `[3, L]`.
        joints: the joints with their impulses, `[2, L]`.
        impulses: the impulses of the feet, N s, `[2, 3, 2, L]`.
    """

    velocity: Vector
    spin: jax.Array
    joints: Joint
    impulses: jax.Array


class _Sweep(NamedTuple):
    """What the sweeps change; each list has the legs' arrays, `[L]`.

    Of a motion they change the relative spins, and in contact the whole of it. The
    impulses of a leg's feet are those along the ground and those away from it.
    """

    motion: jax.Array
    motors: list[jax.Array]
    limits: list[jax.Array]
    feet: list[list[jax.Array]]


def ways(q: Vector) -> Vector:
    """From the joints' common place to each body's centre, `[3, L]`.

    Args:
        q: the bodies' rotations, `[3, L]`.
    """
    first, second = c.LEG_ANCHORS
    centres = np.array([c.HULL_CENTRE, np.negative(first), np.negative(second)])
    return turn(q, fixed(rows(centres[:, 0], q.x), rows(centres[:, 1], q.x)))


def limited(joints: Joint, angle: jax.Array) -> Joint:
    """The joints with the limits at which they stand; a new one begins from nothing.

    Args:
        joints: as the last step left them.
        angle: the angles of the bodies, rad, `[3, L]`.
    """
    angles = angle[1:] - angle[0] - rows(c.REFERENCE_ANGLES, angle)
    side = (angles >= rows(c.UPPER_ANGLES, angle)).astype(joints.side.dtype)
    side = jnp.where(angles <= rows(c.LOWER_ANGLES, angle), -1, side)
    kept = (side == joints.side) & (side != 0)
    return joints.replace(side=side, limit=jnp.where(kept, joints.limit, 0))


def velocities(given: Given, *, on_ground: bool) -> Moved:
    """Velocities and impulses after the sweeps; in the air fewer are needed."""
    sweeps = GROUND_SWEEPS if on_ground else FLIGHT_SWEEPS
    iterations = c.VELOCITY_ITERATIONS // sweeps
    m = reduced.masses(given.ways)
    velocity, spin = _remembered(given, on_ground=on_ground)
    spin, motors = _first_motors(given, spin)
    start = keep(reduced.projected(m, keep(velocity), spin))
    joint = reduced.joint_rows(m, iterations)
    foot = None
    if on_ground:
        foot = reduced.foot_rows(m, joint, given.feet, given.centre, iterations)
    impulses = given.feet.impulses
    limits = given.joints.limit
    begin = _Sweep(
        motion=start if on_ground else start[reduced.RELATIVE],
        motors=motors,
        limits=[limits[k] for k in range(2)],
        feet=[
            [impulses[1 - i // 3, i % 3, k] for i in range(6 if on_ground else 0)]
            for k in range(2)
        ],
    )
    sweep = _sweep(given, joint, foot, iterations)
    end = jax.lax.fori_loop(0, sweeps, lambda _, carry: sweep(carry), begin)
    motion = end.motion
    if on_ground:
        flat = [*zip(*end.feet, strict=True)]
        impulses = jnp.stack([jnp.stack(pair) for pair in flat[3:] + flat[:3]])
        impulses = impulses.reshape(2, 3, *impulses.shape[1:])
    else:
        motion = start
        for k in range(2):
            twist = end.motors[k] + end.limits[k] - motors[k] - limits[k]
            motion = motion + joint.answer[:, k] * twist
    joints = given.joints.replace(
        motor=jnp.stack(end.motors), limit=jnp.stack(end.limits)
    )
    return _unreduced(given, m, motion, joints, impulses)


def _remembered(given: Given, *, on_ground: bool) -> tuple[Vector, jax.Array]:
    """Velocities and spins after last step's impulses, of each body alone."""
    joints, ways = given.joints, given.ways
    push = joints.impulse
    twist = joints.motor + joints.limit
    of_hull = -Vector(push.x[0] + push.x[1], push.y[0] + push.y[1])
    hull_twist = cross(ways[0], of_hull) + twist[0] + twist[1]
    leg_twist = twist - cross(ways[1:], push)
    if on_ground:
        force, turned = _of_feet(given.feet, given.centre, given.feet.impulses)
        push, leg_twist = push + force, leg_twist + turned
    inverse = rows(c.INVERSE_MASSES, given.spin)
    pushes = Vector(
        jnp.concatenate([of_hull.x[None], push.x]),
        jnp.concatenate([of_hull.y[None], push.y]),
    )
    twists = jnp.concatenate([-hull_twist[None], leg_twist])
    return (
        given.velocity + pushes * inverse,
        given.spin + twists * rows(c.INVERSE_INERTIAS, given.spin),
    )


def _of_feet(
    feet: Feet, centre: Vector, impulses: jax.Array
) -> tuple[Vector, jax.Array]:
    """The sums of the feet's impulses on each leg, and of their moments, `[2, L]`."""
    force = feet.up * impulses[0] + right_of(feet.up) * impulses[1]
    moment = cross(feet.point - centre, force)
    total = Vector(jnp.sum(force.x, axis=0), jnp.sum(force.y, axis=0))
    return total, jnp.sum(moment, axis=0)


def _first_motors(given: Given, spin: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
    """Before the joints are together the motors work on the bodies as they are."""
    spins, motors = [spin[i] for i in range(3)], [given.joints.motor[k] for k in (0, 1)]
    for k in ORDER:
        speed = spins[1 + k] - spins[0] - c.MOTOR_SPEEDS[k]
        wanted = motors[k] - reduced.MOTOR_MASS * speed
        motor = keep(jnp.clip(wanted, -given.max_motor, given.max_motor))
        change, motors[k] = motor - motors[k], motor
        spins[0] = spins[0] - c.INVERSE_INERTIAS[c.HULL] * change
        spins[1 + k] = spins[1 + k] + c.INVERSE_INERTIAS[1 + k] * change
    return jnp.stack(spins), motors


def _sweep(given: Given, joint: JointRows, foot: FootRows | None, iterations: int):
    """One sweep: the motor and the limit of each leg, then the feet of each."""
    side = given.joints.side
    limits = jnp.array([-jnp.inf, jnp.inf], given.spin.dtype)
    lowest = jnp.where(side > 0, limits[0], 0)  # a limit pushes, it never pulls
    highest = jnp.where(side < 0, limits[1], 0)
    size = joint.answer.shape[0] if foot else 2
    answers = [joint.answer[:size, k] for k in range(2)]

    def one_sided(k: int, limit: jax.Array) -> jax.Array:
        return keep(jnp.clip(limit, lowest[k], highest[k]))

    def holds(k: int, limit: jax.Array) -> jax.Array:
        return (side[k] != 0) & (limit != 0)

    def joint_swept(s: _Sweep, k: int) -> _Sweep:
        """Motor, then limit; against a limit that holds the motor gets nowhere."""
        motor, limit, spin = s.motors[k], s.limits[k], s.motion[k]
        held = iterations * reduced.MOTOR_MASS
        step = jnp.where(holds(k, limit), held, joint.step[k])
        wanted = motor - step * (spin - c.MOTOR_SPEEDS[k])
        new_motor = keep(jnp.clip(wanted, -given.max_motor, given.max_motor))
        change = new_motor - motor
        new_limit = one_sided(k, limit - spin * joint.inertia[k] - change)
        twist = change + (new_limit - limit)
        motion = keep(s.motion + answers[k] * twist)
        s.motors[k], s.limits[k] = new_motor, new_limit
        return s._replace(motion=motion)

    def foot_swept(s: _Sweep, k: int, i: int, f: FootRows) -> _Sweep:
        """One push of a foot, with what the limit answers at once."""
        motion, limit, old = s.motion, s.limits[k], s.feet[k][i]
        direction = f.direction[i, k]
        speed = direction.x * motion[2] + direction.y * motion[3]
        speed = speed + f.arm[i, k] * motion[4 + k]
        held = holds(k, limit)
        new = old - jnp.where(held, f.held_step[i, k], f.step[i, k]) * speed
        if i < 3:
            most = FRICTION * s.feet[k][i + 3]
            new = keep(jnp.clip(new, -most, most))
        else:
            new = keep(jnp.maximum(new, 0))
        change = new - old
        shared = jnp.where(held, f.limit[i, k] * change, 0)
        new_limit = one_sided(k, limit + shared)
        motion = motion + f.answer[:, i, k] * change + answers[k] * (new_limit - limit)
        s.feet[k][i], s.limits[k] = new, new_limit
        return s._replace(motion=keep(motion))

    def sweep(s: _Sweep) -> _Sweep:
        s = jax.tree.map(lambda x: x, s)  # lists of its own
        for k in ORDER:
            s = joint_swept(s, k)
        if foot:
            for k in ORDER:
                for i in range(6):
                    s = foot_swept(s, k, i, foot)
        return s

    return sweep


def _unreduced(
    given: Given, m: Masses, motion: jax.Array, joints: Joint, impulses: jax.Array
) -> Moved:
    """Velocities of the bodies, and the impulses that held the joints together."""
    velocity, spins = Vector(motion[2], motion[3]), motion[reduced.SPINS]
    spin = jnp.concatenate([(spins[:1] - motion[:1]), spins])
    after = velocity + left_of(m.ways) * spin
    held = (after[1:] - given.velocity[1:]) * (1 / c.INVERSE_MASSES[c.FIRST_LEG])
    force, _ = _of_feet(given.feet, given.centre, impulses)
    return Moved(after, spin, joints.replace(impulse=held - force), impulses)
