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

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from dmaml_jax.envs.lunar_lander import constants as c
from dmaml_jax.envs.lunar_lander.fast.standing import Feet
from dmaml_jax.envs.lunar_lander.numerics import keep
from dmaml_jax.envs.lunar_lander.vectors import (
    Vector,
    cross,
    dot,
    left_of,
    over,
    right_of,
    rows,
)

MOTOR_MASS = 1 / (c.INVERSE_INERTIAS[c.HULL] + c.INVERSE_INERTIAS[c.FIRST_LEG])
# The rows of a motion: the legs' spins relative to the hull's, the velocity of P, and
# the legs' spins.
RELATIVE, VELOCITY, SPINS = slice(0, 2), slice(2, 4), slice(4, 6)


class Masses(struct.PyTreeNode):
    """The inverse of the mass matrix, as its parts.

    Attributes:
        ways: r_i, from P to the bodies' centres, m, `[3, L]`.
        arms: h_i, kg m, `[3, L]`.
        inverse_inertias: 1 / J_i, `[3, L]`.
        shares: h_i / J_i, `[3, L]`.
        inverse: the elements 11, 12 and 22 of S⁻¹, 1/kg, `[L]` each.
    """

    ways: Vector
    arms: Vector
    inverse_inertias: jax.Array
    shares: Vector
    inverse: tuple[jax.Array, jax.Array, jax.Array]


class JointRows(struct.PyTreeNode):
    """A torque between the hull and each leg.

    Attributes:
        answer: the motion that a unit of it causes, `[6, 2, L]`.
        inertia: the torque for a unit of relative spin, kg m², `[2, L]`.
        step: the torque for a unit of it in a sweep, of a free motor, `[2, L]`.
    """

    answer: jax.Array
    inertia: jax.Array
    step: jax.Array


class FootRows(struct.PyTreeNode):
    """Pushes at the feet: first along the ground, `[6, 2, L]`, then away from it.

    Attributes:
        direction: the direction of each push, of length 1.
        arm: its lever about P, for the leg that it acts on.
        answer: the motion that a unit of it causes, `[6, 6, 2, L]`.
        step: impulse for a unit of velocity in a sweep.
        limit: the torque of the joint's limit that answers a unit of it at once.
        held_step: the step while the limit holds.
    """

    direction: Vector
    arm: jax.Array
    answer: jax.Array
    step: jax.Array
    limit: jax.Array
    held_step: jax.Array


def masses(ways: Vector) -> Masses:
    """The inverse mass matrix of bodies whose centres lie at `ways` from P."""
    mass = rows(1 / np.array(c.INVERSE_MASSES), ways.x)
    inertia = rows(1 / np.array(c.INVERSE_INERTIAS), ways.x)
    arms = left_of(ways) * mass
    inverse = 1 / (inertia + mass * dot(ways, ways))
    shares = arms * inverse
    total = sum(1 / each for each in c.INVERSE_MASSES)
    k11 = total - jnp.sum(arms.x * shares.x, axis=0)
    k12 = -jnp.sum(arms.x * shares.y, axis=0)
    k22 = total - jnp.sum(arms.y * shares.y, axis=0)
    scale = 1 / (k11 * k22 - k12 * k12)
    return keep(
        Masses(ways, arms, inverse, shares, (scale * k22, -scale * k12, scale * k11))
    )


def motion(
    m: Masses, push: Vector, hull_turn: jax.Array | float, leg_turns: jax.Array
) -> jax.Array:
    """The motion of given momentum and angular momenta about P, `[6, …, L]`.

    Args:
        m: the inverse of the mass matrix, as its parts.
        push: the momentum of the three bodies together, kg m/s, `[…, L]`.
        hull_turn: the angular momentum of the hull, `[…, L]`.
        leg_turns: the angular momenta of the legs, `[2, …, L]`.
    """
    shares, inverse = over((m.shares, m.inverse_inertias), leg_turns[0])
    rest = push - shares[0] * hull_turn
    rest = rest - shares[1] * leg_turns[0] - shares[2] * leg_turns[1]
    n11, n12, n22 = m.inverse
    velocity = Vector(n11 * rest.x + n12 * rest.y, n12 * rest.x + n22 * rest.y)
    hull_spin = hull_turn * inverse[0] - dot(shares[0], velocity)
    spins = leg_turns * inverse[1:] - dot(shares[1:], velocity)
    both = jnp.stack([velocity.x, velocity.y])
    return jnp.concatenate([spins - hull_spin, both, spins])


def projected(m: Masses, velocity: Vector, spin: jax.Array) -> jax.Array:
    """The motion that keeps the joints together, of bodies that do not, `[6, L]`."""
    mass = rows(1 / np.array(c.INVERSE_MASSES), spin)
    inertia = rows(1 / np.array(c.INVERSE_INERTIAS), spin)
    momentum = Vector(
        jnp.sum(mass * velocity.x, axis=0), jnp.sum(mass * velocity.y, axis=0)
    )
    turns = inertia * spin + dot(m.arms, velocity)
    return motion(m, momentum, turns[0], turns[1:])


def _of_own_leg(like: jax.Array) -> jax.Array:
    """What acts on one leg and not on the other, `[2, …, 2, L]`."""
    own = np.eye(2, dtype=like.dtype)
    return jnp.asarray(own.reshape(2, *(1,) * (like.ndim - 2), 2, 1))


def joint_rows(m: Masses, iterations: int) -> JointRows:
    """The joints' rows; a sweep stands for a number of Box2D's iterations."""
    like = m.inverse_inertias[1:]
    turns = _of_own_leg(like) * jnp.ones_like(like)
    nothing = jnp.zeros_like(like)
    answer = keep(motion(m, Vector(nothing, nothing), -1.0, turns))
    inverse_mass = jnp.stack([answer[0, 0], answer[1, 1]])
    step = (1 - (1 - MOTOR_MASS * inverse_mass) ** iterations) / inverse_mass
    return JointRows(answer, 1 / inverse_mass, step)


def foot_rows(
    m: Masses, joint: JointRows, feet: Feet, centre: Vector, iterations: int
) -> FootRows:
    """The rows of the feet, with their legs free and held by their limits.

    Args:
        m: the inverse of the mass matrix, as its parts.
        joint: the rows of the joints.
        feet: where the feet stand on the ground.
        centre: where the legs' centres are, m, `[2, L]`.
        iterations: how many of Box2D's iterations one sweep stands for.
    """
    along = right_of(feet.up)
    direction = Vector(
        jnp.concatenate([along.x, feet.up.x]), jnp.concatenate([along.y, feet.up.y])
    )
    lever = feet.point - centre
    lever = keep(Vector(jnp.tile(lever.x, (2, 1, 1)), jnp.tile(lever.y, (2, 1, 1))))
    arm, own_arm = cross(lever + m.ways[1:], direction), cross(lever, direction)
    turns = arm * _of_own_leg(arm)
    answer = keep(motion(m, direction, 0.0, turns))

    def of_own(motion: jax.Array, begin: int) -> jax.Array:
        return jnp.stack([motion[begin, ..., 0, :], motion[begin + 1, ..., 1, :]], -2)

    limit = keep(-of_own(answer, 0) * joint.inertia)
    free = dot(direction, Vector(answer[2], answer[3])) + arm * of_own(answer, 4)
    of_joint = dot(direction, Vector(joint.answer[2], joint.answer[3]))
    held = free + limit * (of_joint + arm * of_own(joint.answer, 4))
    leg = c.FIRST_LEG
    own = c.INVERSE_MASSES[leg] + c.INVERSE_INERTIAS[leg] * own_arm * own_arm
    touches = jnp.tile(feet.touches, (2, 1, 1))

    def step(inverse_mass: jax.Array) -> jax.Array:
        left = jnp.clip(1 - inverse_mass / own, 0, 1) ** iterations
        return jnp.where(touches, (1 - left) / inverse_mass, 0)

    return FootRows(direction, keep(arm), answer, keep(step(free)), limit, step(held))
