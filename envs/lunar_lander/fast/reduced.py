"""The fast solver's velocities: joints that hold by construction, few sweeps.

The three bodies hang together at one point P, the hull's origin. With r_i the way from
P to the centre of body i and h_i = m_i (−r_iy, r_ix), J_i = I_i + m_i |r_i|², momentum
and angular momenta about P are

    p = Σ m_i v_i,   L_i = I_i ω_i + h_i · v_i,

which the joints' own impulses do not change, and velocities that keep the joints
together follow from them by

    S = Σ m_i − Σ h_i h_iᵀ / J_i,   v_P = S⁻¹ (p − Σ h_i L_i / J_i),
    ω_i = (L_i − h_i · v_P) / J_i.

That is what Box2D's joint iterations converge to. Its motors and contacts do not
converge: a row that knows the leg alone, with mass m, while the whole answers with the
inverse mass A, leaves a share of (1 − m A) of its error at each iteration. A sweep
stands for n iterations, so its step is (1 − (1 − m A)ⁿ) / A.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.bodies import Body
from dmaml_jax.envs.lunar_lander.numerics import materialise
from dmaml_jax.envs.lunar_lander.vectors import Vector, cross, dot

# A row alone is solved as well by few sweeps. Those of the feet are coupled, and an
# impact's impulses came out a tenth too small by ten.
FLIGHT_SWEEPS = 10
GROUND_SWEEPS = 30
MOTOR_MASS = 1 / (c.INVERSE_INERTIAS[c.HULL] + c.INVERSE_INERTIAS[c.FIRST_LEG])
FRICTION = c.FRICTIONS[c.FIRST_LEG]


class Motion(struct.PyTreeNode):
    """Velocities of three bodies that hang together: of P, and the spins."""

    velocity: Vector
    spins: tuple[Any, Any, Any]


class Masses(struct.PyTreeNode):
    """The inverse of the mass matrix, as its parts: h_i, 1/J_i and S⁻¹ (11, 12, 22)."""

    arms: tuple[Vector, Vector, Vector]
    inverse_inertias: tuple[Any, Any, Any]
    inverse: tuple[Any, Any, Any]


class Foot(struct.PyTreeNode):
    """A corner of a foot on the ground.

    Attributes:
        touches: whether it does.
        base: a point of the edge under it.
        up: the ground's normal.
        side: which corner it is, see `SIDES`.
        slot: where its impulses are kept.
        point: where it touches.
        normal: impulse, N s.
        tangent: impulse, N s.
    """

    touches: Any
    base: Vector
    up: Vector
    side: Any
    slot: Any
    point: Vector
    normal: Any
    tangent: Any


class Row(struct.PyTreeNode):
    """One direction in which an impulse acts.

    Attributes:
        direction: of the impulse on P.
        arm: its lever about P, for the leg that it acts on.
        answer: the motion that a unit of it causes.
        step: impulse for a unit of velocity in a sweep.
        limit: impulse of the joint's limit that answers a unit of it at once.
        held_step: the step while the limit holds.
    """

    direction: Vector
    arm: Any
    answer: Motion
    step: Any
    limit: Any
    held_step: Any


def masses(ways: tuple[Vector, Vector, Vector], one: Any) -> Masses:
    """The inverse mass matrix of bodies whose centres lie at `ways` from P."""
    arms, inverse_inertias = [], []
    total, s11, s12, s22 = 0.0, 0.0, 0.0, 0.0
    for i, way in enumerate(ways):
        mass, inertia = 1 / c.INVERSE_MASSES[i], 1 / c.INVERSE_INERTIAS[i]
        arm = Vector(-way.y * mass, way.x * mass)
        inverse = 1 / (inertia + mass * dot(way, way))
        arms.append(arm)
        inverse_inertias.append(inverse)
        total += mass
        s11 = s11 + arm.x * arm.x * inverse
        s12 = s12 + arm.x * arm.y * inverse
        s22 = s22 + arm.y * arm.y * inverse
    k11, k12, k22 = total - s11, -s12, total - s22
    scale = 1 / (k11 * k22 - k12 * k12)
    return materialise(
        Masses(
            (arms[0], arms[1], arms[2]),
            (inverse_inertias[0], inverse_inertias[1], inverse_inertias[2]),
            (scale * k22, -scale * k12, scale * k11),
        ),
        one,
    )


def motion(m: Masses, momentum: Vector, turns: list[Any]) -> Motion:
    """Velocities of given momentum and angular momenta about P."""
    rest = momentum
    for arm, inverse, turn_ in zip(m.arms, m.inverse_inertias, turns, strict=True):
        if _may_differ_from_0(turn_):
            rest = rest - arm * (turn_ * inverse)
    n11, n12, n22 = m.inverse
    velocity = Vector(n11 * rest.x + n12 * rest.y, n12 * rest.x + n22 * rest.y)
    spins = [
        (turn_ - dot(arm, velocity)) * inverse
        for arm, inverse, turn_ in zip(m.arms, m.inverse_inertias, turns, strict=True)
    ]
    return Motion(velocity, (spins[0], spins[1], spins[2]))


def _may_differ_from_0(value: Any) -> bool:
    """XLA keeps a product with 0, which could be no number."""
    return not isinstance(value, float) or value != 0


def projected(m: Masses, bodies: list[Body]) -> Motion:
    """Velocities that keep the joints together, of bodies that do not."""
    momentum, turns = Vector(0.0, 0.0), []
    for i, body in enumerate(bodies):
        mass, inertia = 1 / c.INVERSE_MASSES[i], 1 / c.INVERSE_INERTIAS[i]
        momentum = momentum + body.velocity * mass
        turns.append(inertia * body.spin + dot(m.arms[i], body.velocity))
    return motion(m, momentum, turns)


def added(a: Motion, b: Motion, factor: Any) -> Motion:
    """A + factor · b."""
    return jax.tree.map(lambda x, y: x + y * factor, a, b)


def joint_row(m: Masses, leg: int, iterations: int, one: Any) -> Row:
    """A torque between hull and leg; its step is that of a free motor.

    A sweep stands for a number of Box2D's iterations.
    """
    turns: list[Any] = [-1.0, 0.0, 0.0]
    turns[leg] = 1.0
    zero = jnp.zeros_like(m.inverse[0])
    answer = materialise(motion(m, Vector(zero, zero), turns), one)
    inverse_mass = answer.spins[leg] - answer.spins[c.HULL]
    free = (1 - (1 - MOTOR_MASS * inverse_mass) ** iterations) / inverse_mass
    return materialise(
        Row(Vector(zero, zero), zero, answer, free, 1 / inverse_mass, free), one
    )


def foot_row(
    m: Masses,
    foot: Foot,
    direction: Vector,
    joint: Row,
    leg: int,
    from_joint: Vector,
    from_centre: Vector,
    iterations: int,
    one: Any,
) -> Row:
    """A push at a corner of a foot, with the leg free and held by its limit."""
    arm = cross(from_joint, direction)
    turns: list[Any] = [0.0, 0.0, 0.0]
    turns[leg] = arm
    answer = materialise(motion(m, direction, turns), one)
    relative = answer.spins[leg] - answer.spins[c.HULL]
    limit = materialise(-relative * joint.limit, one)
    free = dot(direction, answer.velocity) + arm * answer.spins[leg]
    held = free + limit * (
        dot(direction, joint.answer.velocity) + arm * joint.answer.spins[leg]
    )
    own_arm = cross(from_centre, direction)
    own = 1 / (c.INVERSE_MASSES[leg] + c.INVERSE_INERTIAS[leg] * own_arm * own_arm)

    def step(inverse_mass: jax.Array) -> jax.Array:
        left = jnp.clip(1 - own * inverse_mass, 0, 1) ** iterations
        return jnp.where(foot.touches, (1 - left) / inverse_mass, 0)

    row = Row(direction, arm, answer, step(free), limit, step(held))
    return materialise(row, one)


class Leg(struct.PyTreeNode):
    """A leg's joint and foot during the sweeps; torques are impulses in N m s."""

    joint: Row
    motor: Any
    limit: Any
    side: Any
    motor_speed: Any
    max_motor: Any
    feet: tuple[Foot, ...]
    normals: tuple[Row, ...]
    tangents: tuple[Row, ...]


def _holds(leg: Leg) -> jax.Array:
    return (leg.side != 0) & (leg.limit != 0)


def _one_sided(leg: Leg, limit: jax.Array) -> jax.Array:
    """A limit pushes, it never pulls."""
    at_lower, at_upper = jnp.maximum(limit, 0), jnp.minimum(limit, 0)
    return jnp.where(leg.side < 0, at_lower, jnp.where(leg.side > 0, at_upper, 0))


def joint_swept(
    state: Motion, leg: Leg, number: int, iterations: int, one: Any
) -> tuple[Motion, Leg]:
    """Motor, then limit; against a limit that holds the motor gets nowhere."""
    step = jnp.where(_holds(leg), iterations * MOTOR_MASS, leg.joint.step)
    relative = state.spins[number] - state.spins[c.HULL]
    wanted = leg.motor - step * (relative - leg.motor_speed)
    motor = materialise(jnp.clip(wanted, -leg.max_motor, leg.max_motor), one)
    state = materialise(added(state, leg.joint.answer, motor - leg.motor), one)
    relative = state.spins[number] - state.spins[c.HULL]
    limit = _one_sided(leg, leg.limit - relative * leg.joint.limit)
    limit = materialise(limit, one)
    state = materialise(added(state, leg.joint.answer, limit - leg.limit), one)
    return state, leg.replace(motor=motor, limit=limit)


def _wanted(state: Motion, leg: Leg, row: Row, number: int, impulse: Any) -> jax.Array:
    """The impulse after a sweep's step against the velocity along a row."""
    speed = dot(row.direction, state.velocity) + row.arm * state.spins[number]
    return impulse - jnp.where(_holds(leg), row.held_step, row.step) * speed


def _answered(
    state: Motion, leg: Leg, row: Row, change: jax.Array, one: Any
) -> tuple[Motion, Leg]:
    """After a push along a row, with what the limit answers at once."""
    shared = jnp.where(_holds(leg), row.limit * change, 0)
    limit = materialise(_one_sided(leg, leg.limit + shared), one)
    state = added(state, row.answer, change)
    state = added(state, leg.joint.answer, limit - leg.limit)
    return materialise(state, one), leg.replace(limit=limit)


def feet_swept(state: Motion, leg: Leg, number: int, one: Any) -> tuple[Motion, Leg]:
    """Friction at both corners of a foot, then their normal impulses."""
    feet = list(leg.feet)
    for i, row in enumerate(leg.tangents):
        most = FRICTION * feet[i].normal
        wanted = _wanted(state, leg, row, number, feet[i].tangent)
        tangent = materialise(jnp.clip(wanted, -most, most), one)
        state, leg = _answered(state, leg, row, tangent - feet[i].tangent, one)
        feet[i] = feet[i].replace(tangent=tangent)
    for i, row in enumerate(leg.normals):
        wanted = _wanted(state, leg, row, number, feet[i].normal)
        normal = materialise(jnp.maximum(wanted, 0), one)
        state, leg = _answered(state, leg, row, normal - feet[i].normal, one)
        feet[i] = feet[i].replace(normal=normal)
    return state, leg.replace(feet=tuple(feet))
